/* Real connections over loopback. A peer "dies" by a socket filter that drops whatever comes for it. */
#include "net/silence.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { PERIOD = 100 }; /* milliseconds between looks */

struct pair {
    int here, peer;
};

static struct pair connected(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct pair p = {socket(AF_INET, SOCK_STREAM, 0), -1};
    if (bind(listener, (struct sockaddr *)&at, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&at, &length) || connect(p.here, (struct sockaddr *)&at, length))
        CHECK_FAIL("no connection: %s", strerror(errno));
    p.peer = accept(listener, NULL, NULL);
    close(listener);
    fcntl(p.here, F_SETFL, O_NONBLOCK);
    return p;
}

static void finish(struct pair p)
{
    close(p.here);
    close(p.peer);
}

static void dies(int fd)
{
    struct sock_filter drop = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog program = {1, &drop};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

static void lives_again(int fd)
{
    int unused = 0;
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused), 0);
}

static void pause_between_looks(void)
{
    struct timespec time = {.tv_nsec = PERIOD * 1000000L};
    nanosleep(&time, NULL);
}

/* The number of looks until the peer is given up; 0 when it is not within `most`. */
static int looks(int fd, int most, uint8_t *state)
{
    for (int i = 1; i <= most; i++) {
        if (sl_tcp_silent(fd, PERIOD, state)) return i;
        pause_between_looks();
    }
    return 0;
}

static void fill(int fd)
{
    static const char bytes[65536];
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
}

TEST(an_idle_connection_is_not_silent)
{
    struct pair p = connected();
    uint8_t state = 0;
    CHECK_EQ(send(p.here, "x", 1, 0), 1);
    CHECK_EQ(looks(p.here, 2 * SL_SILENT_LOOKS, &state), 0);
    CHECK_EQ(state, 0);
    finish(p);
}

TEST(a_peer_that_does_not_read_acknowledges)
{
    struct pair p = connected();
    uint8_t state = 0;
    fill(p.here);
    CHECK_EQ(looks(p.here, 3 * SL_SILENT_LOOKS, &state), 0);
    CHECK_EQ(state, 1); /* it is looked at again */
    finish(p);
}

TEST(a_peer_that_is_gone_is_given_up)
{
    struct pair p = connected();
    uint8_t state = 0;
    pause_between_looks();
    dies(p.peer);
    CHECK_EQ(send(p.here, "x", 1, 0), 1);
    int at = looks(p.here, 3 * SL_SILENT_LOOKS, &state);
    CHECK(at >= SL_SILENT_LOOKS - 1 && at <= SL_SILENT_LOOKS + 1);
    finish(p);
}

TEST(one_that_comes_back_is_not)
{
    struct pair p = connected();
    uint8_t state = 0;
    dies(p.peer);
    CHECK_EQ(send(p.here, "x", 1, 0), 1);
    CHECK_EQ(looks(p.here, SL_SILENT_LOOKS - 2, &state), 0);
    CHECK(state > 1);
    lives_again(p.peer);
    char byte;
    CHECK_EQ(recv(p.peer, &byte, 1, 0), 1); /* retransmitted */
    pause_between_looks();
    CHECK_EQ(looks(p.here, SL_SILENT_LOOKS, &state), 0);
    CHECK_EQ(state, 0);
    finish(p);
}

TEST(one_that_goes_while_its_window_is_closed)
{
    struct pair p = connected();
    uint8_t state = 0;
    fill(p.here);
    CHECK_EQ(looks(p.here, 2, &state), 0);
    dies(p.peer);
    /* Probes are further and further apart: the next one within a second or two. */
    CHECK(looks(p.here, 200, &state) > 0);
    finish(p);
}

TEST(what_is_no_tcp_socket)
{
    int pair[2];
    uint8_t state = 5;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(sl_tcp_silent(pair[0], PERIOD, &state), 0);
    CHECK_EQ(state, 0);
    CHECK_EQ(sl_tcp_silent(-1, PERIOD, &state), 0);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    RUN(an_idle_connection_is_not_silent);
    RUN(a_peer_that_does_not_read_acknowledges);
    RUN(a_peer_that_is_gone_is_given_up);
    RUN(one_that_comes_back_is_not);
    RUN(one_that_goes_while_its_window_is_closed);
    RUN(what_is_no_tcp_socket);
    return CHECK_REPORT();
}
