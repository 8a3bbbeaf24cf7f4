/* One getsockopt(2), and what follows from it. */
#include "net/silence.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

/* A window that was taken back makes retransmissions window probes, up to 120 s apart (TCP_RTO_MAX): twice that and some
 * more, as the kernel allows them itself. */
enum { SHRUNK_MS = 270000 };
/* Window probes in a row without an answer that count: a peer may leave one out (tcp_invalid_ratelimit). */
enum { PROBES = 3 };

int sl_tcp_silent(int fd, uint32_t since, uint8_t *state)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
        *state = 0;
        return 0;
    }
    if (info.tcpi_unacked == 0 && info.tcpi_probes < PROBES) { /* all that was sent has arrived */
        *state = info.tcpi_notsent_bytes > 0;                  /* a zero window: it may still change */
        return 0;
    }
    int tells_window = length >= offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd; /* Linux 5.4 */
    int shrunk = tells_window && info.tcpi_snd_wnd == 0 && info.tcpi_unacked > 0;
    if (info.tcpi_last_ack_recv < (shrunk ? SHRUNK_MS : since)) {
        *state = 1;
        return 0;
    }
    if (*state == 0) *state = 1;
    if (*state < SL_SILENT_LOOKS) ++*state;
    return *state >= SL_SILENT_LOOKS;
}
