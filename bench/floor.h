/* The floor's relay: bytes of one tunnel between two sockets, copied while they are few and spliced while they are many.
 * Nothing here decides, counts or logs: what the same work costs at least is what it is for. */
#ifndef SLUICE_FLOOR_H
#define SLUICE_FLOOR_H

#include <stddef.h>
#include <stdint.h>

enum {
    COPY_SIZE = 65536,
    PIPE_SIZE = 262144,
    POOL_MOST = 64,
    TURN_MOST = 1 << 20,
    QUIET_BELOW = 16384 /* bytes a turn: then bulk is over */
};

/* Pipes that are empty and wait for bulk. */
struct pool {
    int pipes[POOL_MOST][2];
    size_t count;
};

struct flow {
    uint8_t *held;     /* bytes the sink did not take yet, malloc'd; NULL when none */
    uint32_t from, to; /* of them: the first, and one past the last */
    int pipe[2];       /* while bulk; {-1, -1} otherwise */
    uint32_t piped;    /* bytes in the pipe */
    uint8_t hangup;    /* an end or an error was reported: read on until it shows */
    uint8_t ended;     /* the source's end was read */
};

enum carried { CARRIED_BROKEN = 0, CARRIED_BLOCKED, CARRIED_END, CARRIED_MORE };

void flow_init(struct flow *flow);
/* Carries what can be carried. An end is told once every byte before it was written; MORE: its turn was over. */
enum carried flow_carry(struct flow *flow, int source, int sink, uint8_t *scratch, struct pool *pool);
/* Frees what it holds; a pipe with bytes in it is closed, an empty one goes back. */
void flow_free(struct flow *flow, struct pool *pool);
void pool_free(struct pool *pool);

#endif
