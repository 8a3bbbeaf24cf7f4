/* Questions to the kernel in a network namespace of the test's own, where addresses, rules and routes come and go. */
#include "net/local.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"

static struct sl_local local;
static int isolated; /* this process has a namespace where it may change things */

static struct sl_addr addr(const char *text)
{
    struct sl_addr out = {.family = 0};
    CHECK(sl_addr_parse(text, strlen(text), &out));
    return out;
}

static int is(const char *text, uint16_t port, const char *source)
{
    struct sl_addr at = addr(text), from = {.family = 0};
    if (source) from = addr(source);
    return sl_local_is(&local, &at, port, source ? &from : NULL);
}

static void run(const char *command)
{
    CHECK_AT(system(command) == 0, command);
}

/* An owner's act when the subscription is readable; returns whether it held anything. */
static int changed(void)
{
    struct pollfd watch = {.fd = local.events, .events = POLLIN};
    int spoke = poll(&watch, 1, 0) > 0;
    if (spoke) sl_local_forget(&local);
    sl_local_drain(&local);
    return spoke;
}

TEST(loopback_and_unspecified_are_local_everywhere)
{
    REQUIRE(sl_local_open(&local));
    CHECK_EQ(is("127.0.0.1", 80, NULL), 1);
    CHECK_EQ(is("127.77.0.1", 80, NULL), 1);
    CHECK_EQ(is("0.0.0.0", 80, NULL), 1);
    CHECK_EQ(is("::", 80, NULL), 1);
    sl_local_close(&local);
}

TEST(what_cannot_be_asked_is_local)
{
    struct sl_addr none = {.family = 0}, at = addr("203.0.113.9");
    REQUIRE(sl_local_open(&local));
    CHECK_EQ(sl_local_is(&local, &none, 80, NULL), 1);
    int kept = local.asks, null = open("/dev/null", O_RDWR);
    local.asks = null;
    CHECK_EQ(sl_local_is(&local, &at, 80, NULL), 1); /* send() to no socket */
    close(null);
    local.asks = kept;
    sl_local_close(&local);
}

TEST(addresses_and_routes_that_come_and_go)
{
    REQUIRE(isolated);
    REQUIRE(sl_local_open(&local));
    CHECK_EQ(is("10.9.9.2", 80, NULL), 0); /* no route at all */
    run("ip link add d0 type veth peer name d1; ip link set d1 up; ip link set d0 up");
    run("ip addr add 192.0.2.1/24 dev d0; ip route add default dev d0");
    CHECK(changed());
    CHECK_EQ(is("10.9.9.2", 80, NULL), 0);
    CHECK_EQ(is("192.0.2.1", 80, NULL), 1);
    CHECK_EQ(is("192.0.2.9", 80, NULL), 0);
    CHECK(!changed());
    run("ip addr add 10.9.9.2/32 dev lo");
    CHECK(changed());
    CHECK_EQ(is("10.9.9.2", 80, NULL), 1);
    run("ip addr del 10.9.9.2/32 dev lo");
    CHECK(changed());
    CHECK_EQ(is("10.9.9.2", 80, NULL), 0);
    run("ip route add local 198.51.100.0/24 dev lo"); /* AnyIP */
    CHECK(changed());
    CHECK_EQ(is("198.51.100.200", 80, NULL), 1);
    run("ip route add blackhole 203.0.113.0/24; ip route add unreachable 203.0.112.0/24");
    run("ip route add prohibit 203.0.111.0/24");
    CHECK(changed());
    CHECK_EQ(is("203.0.113.1", 80, NULL), 0);
    CHECK_EQ(is("203.0.112.1", 80, NULL), 0);
    CHECK_EQ(is("203.0.111.1", 80, NULL), 0);
    sl_local_close(&local);
}

TEST(the_same_for_ipv6)
{
    REQUIRE(isolated);
    REQUIRE(sl_local_open(&local));
    CHECK_EQ(is("::1", 80, NULL), 1);
    run("ip -6 addr add 2001:db8::5/64 dev d0 nodad; ip -6 route add default dev d0");
    CHECK(changed());
    CHECK_EQ(is("2001:db8::5", 80, NULL), 1);
    CHECK_EQ(is("2001:db8::6", 80, NULL), 0);
    CHECK_EQ(is("2001:db9::6", 80, NULL), 0);
    run("ip -6 addr add 2001:db9::6/128 dev lo nodad");
    CHECK(changed());
    CHECK_EQ(is("2001:db9::6", 80, NULL), 1);
    run("ip -6 route add local 2001:dba::/64 dev lo");
    CHECK(changed());
    CHECK_EQ(is("2001:dba::77", 80, NULL), 1);
    sl_local_close(&local);
}

TEST(rules_by_source_and_port)
{
    REQUIRE(isolated);
    REQUIRE(sl_local_open(&local));
    run("ip addr add 192.0.2.7/24 dev d0; ip route add local default dev lo table 77");
    changed();
    CHECK_EQ(is("8.8.8.8", 1080, NULL), 0);
    run("ip rule add from 192.0.2.7 lookup 77");
    CHECK(changed());
    CHECK_EQ(is("8.8.8.8", 1080, NULL), 0);
    CHECK_EQ(is("8.8.8.8", 1080, "192.0.2.7"), 1); /* bound there, it would stay here */
    CHECK_EQ(is("8.8.8.8", 1080, "192.0.2.1"), 0);
    run("ip rule add from 192.0.2.1 lookup 77"); /* the source that the kernel chooses */
    CHECK(changed());
    CHECK_EQ(is("8.8.8.8", 1080, NULL), 1);
    run("ip rule del from 192.0.2.1 lookup 77; ip rule del from 192.0.2.7 lookup 77");
    run("ip rule add ipproto tcp dport 1080 lookup 77");
    CHECK(changed());
    CHECK_EQ(is("8.8.8.8", 1080, NULL), 1);
    CHECK_EQ(is("8.8.8.8", 1081, NULL), 0);
    sl_local_close(&local);
}

TEST(an_overrun_is_an_event)
{
    REQUIRE(isolated);
    REQUIRE(sl_local_open(&local));
    CHECK_EQ(is("10.77.0.200", 80, NULL), 0);
    run("for i in $(seq 1 200); do echo addr add 10.77.0.$i/32 dev lo; done | ip -batch -");
    CHECK(changed());
    CHECK_EQ(is("10.77.0.200", 80, NULL), 1);
    CHECK(!changed());
    sl_local_close(&local);
}

TEST(answers_are_remembered_by_all_that_was_asked)
{
    REQUIRE(isolated);
    REQUIRE(sl_local_open(&local));
    CHECK_EQ(is("192.0.2.9", 80, NULL), 0);
    uint32_t asked = local.sequence;
    for (int i = 0; i < 3; i++) CHECK_EQ(is("192.0.2.9", 80, NULL), 0);
    CHECK_EQ(local.sequence, asked);
    CHECK_EQ(is("192.0.2.9", 81, NULL), 0);
    CHECK(local.sequence != asked);
    asked = local.sequence;
    for (unsigned i = 0; i < 2 * SL_LOCAL_ENTRIES; i++) { /* more than fit */
        struct sl_addr at = {.family = 4, .bytes = {127, 9, (uint8_t)(i >> 8), (uint8_t)i}};
        CHECK_EQ(sl_local_is(&local, &at, 80, NULL), 1);
    }
    CHECK_EQ(is("192.0.2.9", 80, NULL), 0);
    CHECK(local.sequence - asked >= 2 * SL_LOCAL_ENTRIES);
    sl_local_close(&local);
}

int main(void)
{
    /* As root: the namespace is enough. Else one's own users' namespace, where root is this user. */
    char map[64];
    snprintf(map, sizeof map, "0 %u 1", (unsigned)getuid());
    isolated = unshare(CLONE_NEWNET) == 0;
    if (!isolated && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
        int fd = open("/proc/self/uid_map", O_WRONLY);
        isolated = fd >= 0 && write(fd, map, strlen(map)) > 0;
        if (fd >= 0) close(fd);
    }
    if (isolated) isolated = system("ip link set lo up") == 0;
    RUN(loopback_and_unspecified_are_local_everywhere);
    RUN(what_cannot_be_asked_is_local);
    RUN(addresses_and_routes_that_come_and_go);
    RUN(the_same_for_ipv6);
    RUN(rules_by_source_and_port);
    RUN(an_overrun_is_an_event);
    RUN(answers_are_remembered_by_all_that_was_asked);
    return CHECK_REPORT();
}
