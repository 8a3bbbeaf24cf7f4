/* The load generator's origin: echoes, swallows or sends the pattern of load_common.h. */
#ifndef SLUICE_LOAD_ORIGIN_H
#define SLUICE_LOAD_ORIGIN_H

#include <sys/socket.h>

struct origin_options {
    struct sockaddr_storage listen;
    socklen_t listen_length;
    double seconds; /* then it ends */
};

/* Serves until the time is up or SIGTERM or SIGINT. Prints {"port": N} first and its counts at the end. Returns an exit
 * code: 1 when bytes were wrong. */
int run_origin(const struct origin_options *options);

#endif
