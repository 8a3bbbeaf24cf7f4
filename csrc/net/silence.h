/* Whether the peer of a TCP connection has stopped acknowledging, told from one look in a while (TCP_INFO).
 *
 * TCP_USER_TIMEOUT would end a connection whose peer acknowledges and does not read: Linux counts an acknowledged zero
 * window as time without progress, RFC 9293 section 3.8.6.1 says such a connection stays open. And keepalive is silent
 * while bytes are on their way. So: no TCP_USER_TIMEOUT, keepalive for idle connections, and this for the others. */
#ifndef SLUICE_SILENCE_H
#define SLUICE_SILENCE_H

#include <stdint.h>

/* Looks in a row without an acknowledgement after which a peer is given up: bytes were on their way for at least
 * SL_SILENT_LOOKS - 2 times between looks. */
enum { SL_SILENT_LOOKS = 6 };

/* One look. `since` is the time since the last one, milliseconds. *state belongs to the connection, 0 at first:
 *   0 nothing is on its way; 1 something is, and acknowledgements come; more: so many looks, less one, without any.
 * Returns 1 when the peer is to be given up; 0 else, also for what is not a TCP socket. */
int sl_tcp_silent(int fd, uint32_t since, uint8_t *state);

#endif
