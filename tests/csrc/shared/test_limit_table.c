/* The table of limits: one worker's enters and leaves, rows that change hands, and threads and processes that hammer it
 * together. A limit is never exceeded, and nothing is left when every source has left. */
#include "check.h"
#include "shared/limit_table.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_COLUMNS = 8 };

struct table {
    uint8_t *memory;
    size_t size;
    struct sl_limits worker[MAX_COLUMNS];
};

/* A table as the supervisor makes it: zeroes and a header. */
static int open_table(struct table *table, uint32_t columns)
{
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    struct sl_limits_header header = {SL_LIMITS_MAGIC, SL_LIMITS_VERSION, columns, {key[0], key[1]}};

    table->size = sl_limits_size(columns);
    table->memory = mmap(NULL, table->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (table->memory == MAP_FAILED) return 0;
    memcpy(table->memory, &header, sizeof header);
    for (uint32_t i = 0; i < columns; i++)
        if (!sl_limits_attach(&table->worker[i], table->memory, table->size, i)) return 0;
    return 1;
}

static void close_table(struct table *table)
{
    munmap(table->memory, table->size);
}

/* The supervisor's act when a worker has died. */
static void clear_column(struct table *table, uint32_t column)
{
    memset(table->memory + SL_LIMITS_COLUMNS_AT + (size_t)column * SL_LIMITS_COLUMN_SIZE, 0, SL_LIMITS_COLUMN_SIZE);
}

static uint64_t held_by_all(const struct table *table)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < table->worker[0].count; i++)
        for (unsigned kind = 0; kind < SL_LIMIT_COUNT; kind++) sum += sl_limits_held_by_worker(&table->worker[i], kind);
    return sum;
}

/* Sources whose two buckets are 0 and 1, and whose overflow row is the first; told apart by their tags. */
static uint64_t crowded(unsigned i)
{
    return (uint64_t)(i + 1) << 28 | 1u << 11;
}

static int is_overflow(uint32_t handle)
{
    return handle > SL_LIMITS_ROWS;
}

TEST(counts_up_to_the_limit_over_all_workers)
{
    struct table t;
    uint32_t handles[10];
    REQUIRE(open_table(&t, 3));
    uint64_t source = sl_limits_source(&t.worker[0], "a\x7f\0\0\1", 5);
    for (int i = 0; i < 10; i++) {
        handles[i] = sl_limits_enter(&t.worker[i % 3], source, SL_LIMIT_TUNNELS, 10);
        REQUIRE(handles[i]);
        CHECK_EQ(sl_limits_held(&t.worker[0], source, SL_LIMIT_TUNNELS), i + 1);
    }
    for (int i = 0; i < 3; i++) CHECK_EQ(sl_limits_enter(&t.worker[i], source, SL_LIMIT_TUNNELS, 10), 0);
    CHECK_EQ(sl_limits_held(&t.worker[1], source, SL_LIMIT_TUNNELS), 10);
    /* Another kind, another source: counted apart. */
    uint32_t dial = sl_limits_enter(&t.worker[0], source, SL_LIMIT_DIALS, 1);
    CHECK(dial != 0);
    CHECK_EQ(sl_limits_enter(&t.worker[2], source, SL_LIMIT_DIALS, 1), 0);
    CHECK(sl_limits_enter(&t.worker[2], source + (1ull << 40), SL_LIMIT_DIALS, 1) != 0);
    /* A limit that became lower refuses, and lets go of nothing. */
    CHECK(sl_limits_leave(&t.worker[1], handles[1], SL_LIMIT_TUNNELS));
    CHECK_EQ(sl_limits_enter(&t.worker[1], source, SL_LIMIT_TUNNELS, 5), 0);
    CHECK(sl_limits_enter(&t.worker[1], source, SL_LIMIT_TUNNELS, 10) != 0);
    CHECK_EQ(sl_limits_enter(&t.worker[1], source, SL_LIMIT_TUNNELS, 0), 0);
    close_table(&t);
}

TEST(the_gateway_has_a_row_of_its_own)
{
    struct table t;
    REQUIRE(open_table(&t, 2));
    uint32_t first = sl_limits_enter_gateway(&t.worker[0], SL_LIMIT_TUNNELS, 2);
    uint32_t second = sl_limits_enter_gateway(&t.worker[1], SL_LIMIT_TUNNELS, 2);
    REQUIRE(first && second);
    CHECK_EQ(sl_limits_enter_gateway(&t.worker[0], SL_LIMIT_TUNNELS, 2), 0);
    CHECK_EQ(sl_limits_held_by_gateway(&t.worker[0], SL_LIMIT_TUNNELS), 2);
    CHECK(sl_limits_leave(&t.worker[1], second, SL_LIMIT_TUNNELS));
    CHECK(sl_limits_enter_gateway(&t.worker[0], SL_LIMIT_TUNNELS, 2) != 0);
    close_table(&t);
}

TEST(leaves_only_what_was_entered)
{
    struct table t;
    REQUIRE(open_table(&t, 2));
    uint32_t handle = sl_limits_enter(&t.worker[0], crowded(0), SL_LIMIT_REQUESTS, 5);
    REQUIRE(handle);
    CHECK(!sl_limits_leave(&t.worker[1], handle, SL_LIMIT_REQUESTS)); /* another worker's */
    CHECK(!sl_limits_leave(&t.worker[0], handle, SL_LIMIT_TUNNELS));  /* another kind */
    CHECK(!sl_limits_leave(&t.worker[0], 0, SL_LIMIT_REQUESTS));
    CHECK(!sl_limits_leave(&t.worker[0], SL_LIMITS_COLUMN_ROWS + 1, SL_LIMIT_REQUESTS));
    CHECK(!sl_limits_leave(&t.worker[0], UINT32_MAX, SL_LIMIT_REQUESTS));
    CHECK(!sl_limits_leave(&t.worker[0], handle, SL_LIMIT_COUNT));
    CHECK(!sl_limits_leave(&t.worker[0], handle, ~0u));
    CHECK_EQ(held_by_all(&t), 1);
    CHECK(sl_limits_leave(&t.worker[0], handle, SL_LIMIT_REQUESTS));
    CHECK(!sl_limits_leave(&t.worker[0], handle, SL_LIMIT_REQUESTS)); /* twice */
    CHECK_EQ(held_by_all(&t), 0);
    CHECK_EQ(sl_limits_enter(&t.worker[0], 1, SL_LIMIT_COUNT, 5), 0);
    CHECK_EQ(sl_limits_enter_gateway(&t.worker[0], ~0u, 5), 0);
    close_table(&t);
}

TEST(a_dead_workers_share_is_free_again)
{
    struct table t;
    REQUIRE(open_table(&t, 2));
    for (int i = 0; i < 3; i++) {
        REQUIRE(sl_limits_enter(&t.worker[0], 77, SL_LIMIT_TUNNELS, 5));
        REQUIRE(sl_limits_enter_gateway(&t.worker[0], SL_LIMIT_TUNNELS, 5));
    }
    REQUIRE(sl_limits_enter(&t.worker[1], 77, SL_LIMIT_TUNNELS, 5));
    clear_column(&t, 0);
    CHECK_EQ(sl_limits_held(&t.worker[1], 77, SL_LIMIT_TUNNELS), 1);
    CHECK_EQ(sl_limits_held_by_gateway(&t.worker[1], SL_LIMIT_TUNNELS), 0);
    for (int i = 0; i < 4; i++) CHECK(sl_limits_enter(&t.worker[i % 2], 77, SL_LIMIT_TUNNELS, 5) != 0);
    CHECK_EQ(sl_limits_enter(&t.worker[1], 77, SL_LIMIT_TUNNELS, 5), 0);
    close_table(&t);
}

/* Idle rows go to sources that need them; counting ones never do. */
TEST(rows_change_hands_when_idle)
{
    struct table t;
    uint32_t handles[16];
    REQUIRE(open_table(&t, 2));
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t handle = sl_limits_enter(&t.worker[i % 2], crowded(i), SL_LIMIT_TUNNELS, 1);
        REQUIRE(handle && !is_overflow(handle));
        CHECK(sl_limits_leave(&t.worker[i % 2], handle, SL_LIMIT_TUNNELS));
    }
    for (unsigned i = 0; i < 16; i++) {
        handles[i] = sl_limits_enter(&t.worker[i % 2], crowded(i), SL_LIMIT_TUNNELS, 1);
        REQUIRE(handles[i] && !is_overflow(handles[i]));
        for (unsigned j = 0; j < i; j++) CHECK(handles[j] != handles[i]);
    }
    /* Full: strangers share a row, and with it a limit. */
    uint32_t shared = sl_limits_enter(&t.worker[0], crowded(100), SL_LIMIT_TUNNELS, 1);
    CHECK(is_overflow(shared));
    CHECK_EQ(sl_limits_enter(&t.worker[1], crowded(101), SL_LIMIT_TUNNELS, 1), 0);
    CHECK_EQ(sl_limits_enter(&t.worker[1], crowded(101), SL_LIMIT_TUNNELS, 2), shared);
    for (unsigned i = 0; i < 16; i++) CHECK_EQ(sl_limits_enter(&t.worker[0], crowded(i), SL_LIMIT_TUNNELS, 1), 0);
    CHECK(sl_limits_leave(&t.worker[0], shared, SL_LIMIT_TUNNELS));
    CHECK(sl_limits_leave(&t.worker[1], shared, SL_LIMIT_TUNNELS));
    CHECK(sl_limits_leave(&t.worker[1], handles[7], SL_LIMIT_TUNNELS));
    CHECK_EQ(sl_limits_enter(&t.worker[0], crowded(100), SL_LIMIT_TUNNELS, 1), handles[7]);
    close_table(&t);
}

/* A worker killed while it gave a row away leaves a mark, wherever it was. */
TEST(a_mark_of_a_dead_worker_is_lifted)
{
    struct table t;
    REQUIRE(open_table(&t, 2));
    uint64_t *words = (uint64_t *)(void *)(t.memory + SL_LIMITS_WORDS_AT);
    uint32_t handle = sl_limits_enter(&t.worker[0], crowded(3), SL_LIMIT_TUNNELS, 9);
    REQUIRE(handle && !is_overflow(handle));
    words[handle - 1] |= 1;
    CHECK_EQ(sl_limits_held(&t.worker[0], crowded(3), SL_LIMIT_TUNNELS), 1);
    CHECK_EQ(sl_limits_enter(&t.worker[1], crowded(3), SL_LIMIT_TUNNELS, 1), 0);
    CHECK_EQ(words[handle - 1] & 1, 0);
    words[handle - 1] |= 1;
    CHECK_EQ(sl_limits_enter(&t.worker[1], crowded(3), SL_LIMIT_TUNNELS, 2), handle);
    CHECK(sl_limits_leave(&t.worker[0], handle, SL_LIMIT_TUNNELS));
    CHECK(sl_limits_leave(&t.worker[1], handle, SL_LIMIT_TUNNELS));
    /* Idle and marked: still to be had by others, when every row of the two buckets is in that state. */
    for (unsigned i = 0; i < 16; i++) {
        handle = sl_limits_enter(&t.worker[0], crowded(i), SL_LIMIT_TUNNELS, 1);
        REQUIRE(handle);
        sl_limits_leave(&t.worker[0], handle, SL_LIMIT_TUNNELS);
    }
    for (unsigned i = 0; i < 16; i++) words[i] |= 1;
    for (unsigned i = 20; i < 36; i++) {
        handle = sl_limits_enter(&t.worker[1], crowded(i), SL_LIMIT_TUNNELS, 1);
        CHECK(handle && !is_overflow(handle));
    }
    close_table(&t);
}

TEST(refuses_tables_of_another_shape)
{
    struct table t;
    struct sl_limits out;
    struct sl_limits_header *header;
    REQUIRE(open_table(&t, 2));
    header = (struct sl_limits_header *)(void *)t.memory;
    CHECK_EQ(sl_limits_size(0), 0);
    CHECK_EQ(sl_limits_size(SL_LIMITS_COLUMNS_MAX + 1), 0);
    CHECK(!sl_limits_attach(&out, t.memory, t.size, 2));
    CHECK(!sl_limits_attach(&out, t.memory, t.size, UINT32_MAX));
    CHECK(!sl_limits_attach(&out, t.memory, t.size - 1, 0));
    CHECK(!sl_limits_attach(&out, t.memory, 8, 0));
    CHECK(!sl_limits_attach(&out, t.memory + 8, t.size - 8, 0));
    header->columns = 3;
    CHECK(!sl_limits_attach(&out, t.memory, t.size, 0));
    header->columns = 0;
    CHECK(!sl_limits_attach(&out, t.memory, t.size, 0));
    header->columns = 2;
    header->version++;
    CHECK(!sl_limits_attach(&out, t.memory, t.size, 0));
    header->version--;
    header->magic ^= 1;
    CHECK(!sl_limits_attach(&out, t.memory, t.size, 0));
    header->magic ^= 1;
    CHECK(sl_limits_attach(&out, t.memory, t.size, 1));
    close_table(&t);
}

/* Reference values of the SipHash paper's implementation: key 00..0f, message 00, 01, 02, ... */
TEST(hashes_as_siphash_does)
{
    struct table t;
    uint8_t message[64];
    REQUIRE(open_table(&t, 1));
    for (unsigned i = 0; i < sizeof message; i++) message[i] = (uint8_t)i;
    CHECK(sl_limits_source(&t.worker[0], message, 0) == 0x726fdb47dd0e0e31ull);
    CHECK(sl_limits_source(&t.worker[0], message, 1) == 0x74f839c593dc67fdull);
    CHECK(sl_limits_source(&t.worker[0], message, 8) == 0x93f5f5799a932462ull);
    CHECK(sl_limits_source(&t.worker[0], message, 15) == 0xa129ca6149be45e5ull);
    close_table(&t);
}

/* Half of the rows counting at once: with two buckets to choose from, no source has to share. */
TEST(thousands_of_sources_have_rows_of_their_own)
{
    struct table t;
    unsigned shared = 0;
    REQUIRE(open_table(&t, 1));
    for (uint32_t i = 0; i < SL_LIMITS_ROWS / 2; i++) {
        uint64_t source = sl_limits_source(&t.worker[0], &i, sizeof i);
        uint32_t handle = sl_limits_enter(&t.worker[0], source, SL_LIMIT_TUNNELS, 1);
        CHECK(handle != 0);
        shared += is_overflow(handle) ? 1 : 0;
    }
    CHECK_EQ(shared, 0);
    CHECK_EQ(sl_limits_held_by_worker(&t.worker[0], SL_LIMIT_TUNNELS), SL_LIMITS_ROWS / 2);
    close_table(&t);
}

static uint64_t draw(uint64_t *state, uint64_t below) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (z ^ z >> 31) % below;
}

/* A table full of noise: nothing is touched outside, and nothing hangs. */
TEST(survives_a_corrupted_table)
{
    struct table t;
    uint64_t state = 5;
    REQUIRE(open_table(&t, 2));
    for (int round = 0; round < 20; round++) {
        for (size_t at = SL_LIMITS_WORDS_AT; at + 8 <= t.size; at += 8) {
            uint64_t noise = draw(&state, round % 2 ? UINT64_MAX : 3);
            memcpy(t.memory + at, &noise, 8);
        }
        memset(t.memory, round, 64); /* the header is not looked at again */
        for (int i = 0; i < 2000; i++) {
            uint64_t source = draw(&state, UINT64_MAX);
            unsigned kind = (unsigned)draw(&state, SL_LIMIT_COUNT + 2);
            uint32_t handle = sl_limits_enter(&t.worker[i % 2], source, kind, (uint32_t)draw(&state, 1ull << 32));
            sl_limits_enter_gateway(&t.worker[i % 2], kind, UINT32_MAX);
            sl_limits_leave(&t.worker[i % 2], handle, kind);
            sl_limits_leave(&t.worker[i % 2], (uint32_t)draw(&state, 1ull << 32), kind);
            sl_limits_held(&t.worker[i % 2], source, kind);
        }
    }
    CHECK_EQ(sl_limits_enter(&t.worker[0], 1, SL_LIMIT_COUNT, 1), 0);
    close_table(&t);
}

/* Threads, each a worker: a limit of 3, more sources than rows in their two buckets, so that rows change hands all the
 * time. `inside` counts whom the table has let in: after enter, until before leave. */
enum { HAMMERS = 4, SOURCES = 20, MOST = 3, HELD = 8, ROUNDS = 100000, OVERFLOWS = SL_LIMITS_OVERFLOW };

struct arena {
    struct table table;
    _Atomic int inside[SOURCES + OVERFLOWS + 1];
    _Atomic unsigned violations, entered, refused, by_source, overflowed;
};

struct hammer {
    struct arena *arena;
    unsigned number;
    unsigned sources;
};

struct holding {
    uint32_t handle;
    unsigned counter;
    unsigned kind;
};

static void put_back(struct arena *arena, const struct sl_limits *worker, struct holding *holding)
{
    atomic_fetch_sub(&arena->inside[holding->counter], 1);
    if (!sl_limits_leave(worker, holding->handle, holding->kind)) atomic_fetch_add(&arena->violations, 1);
    holding->handle = 0;
}

static void *hammer(void *argument)
{
    struct hammer *self = argument;
    struct arena *arena = self->arena;
    const struct sl_limits *worker = &arena->table.worker[self->number];
    struct holding held[HELD] = {{0, 0, 0}};
    uint64_t state = self->number + 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct holding *holding = &held[draw(&state, HELD)];
        unsigned i = (unsigned)draw(&state, self->sources + 1);
        uint32_t handle;

        if (holding->handle) {
            put_back(arena, worker, holding);
            continue;
        }
        handle = i == self->sources ? sl_limits_enter_gateway(worker, SL_LIMIT_TUNNELS, MOST)
                                    : sl_limits_enter(worker, crowded(i), SL_LIMIT_TUNNELS, MOST);
        if (!handle) {
            atomic_fetch_add(&arena->refused, 1);
            continue;
        }
        atomic_fetch_add(&arena->entered, 1);
        holding->handle = handle;
        holding->kind = SL_LIMIT_TUNNELS;
        /* An overflow row has a limit of its own, as the gateway's row has. */
        holding->counter = is_overflow(handle) ? SOURCES + handle - 1 - SL_LIMITS_ROWS : i;
        if (i != self->sources) {
            atomic_fetch_add(&arena->by_source, 1);
            if (is_overflow(handle)) atomic_fetch_add(&arena->overflowed, 1);
        }
        if (atomic_fetch_add(&arena->inside[holding->counter], 1) >= MOST) atomic_fetch_add(&arena->violations, 1);
    }
    for (int i = 0; i < HELD; i++)
        if (held[i].handle) put_back(arena, worker, &held[i]);
    return NULL;
}

/* `taken` of the sixteen rows count for others all the time. */
static void hammered(unsigned sources, unsigned taken)
{
    struct arena *arena = calloc(1, sizeof *arena);
    struct hammer hammers[HAMMERS];
    pthread_t threads[HAMMERS];
    uint32_t others[16];
    REQUIRE(arena && open_table(&arena->table, HAMMERS + 1));
    for (unsigned i = 0; i < taken; i++) {
        others[i] = sl_limits_enter(&arena->table.worker[HAMMERS], crowded(SOURCES + i), SL_LIMIT_DIALS, 1);
        REQUIRE(others[i] && !is_overflow(others[i]));
    }
    for (unsigned i = 0; i < HAMMERS; i++) {
        hammers[i] = (struct hammer){arena, i, sources};
        REQUIRE(pthread_create(&threads[i], NULL, hammer, &hammers[i]) == 0);
    }
    for (unsigned i = 0; i < HAMMERS; i++) pthread_join(threads[i], NULL);
    CHECK_EQ(arena->violations, 0);
    CHECK(arena->entered > ROUNDS / 8);
    CHECK(arena->refused > 0);
    CHECK(arena->by_source > 0);
    if (taken + sources <= 16) CHECK_EQ(arena->overflowed, 0);
    if (taken == 16) CHECK_EQ(arena->overflowed, arena->by_source);
    for (unsigned i = 0; i < taken; i++)
        CHECK(sl_limits_leave(&arena->table.worker[HAMMERS], others[i], SL_LIMIT_DIALS));
    CHECK_EQ(held_by_all(&arena->table), 0);
    close_table(&arena->table);
    free(arena);
}

TEST(threads_at_two_sources_never_exceed_a_limit)
{
    hammered(2, 0);
}

TEST(threads_whose_rows_change_hands_never_exceed_a_limit)
{
    hammered(SOURCES, 0);
}

TEST(threads_that_find_no_row_share_the_overflow_and_its_limit)
{
    hammered(SOURCES, 16);
}

/* Processes that are killed at any moment: their columns are cleared, what the others hold stays right, and every row
 * can be had again. */
TEST(killed_processes_leave_nothing_behind)
{
    struct table t;
    uint32_t kept[16];
    REQUIRE(open_table(&t, 3));
    for (unsigned i = 0; i < 4; i++) {
        kept[i] = sl_limits_enter(&t.worker[0], crowded(i), SL_LIMIT_TUNNELS, 100);
        REQUIRE(kept[i] && !is_overflow(kept[i]));
    }
    for (int round = 0; round < 60; round++) {
        pid_t children[2];
        for (uint32_t i = 0; i < 2; i++) {
            children[i] = fork();
            REQUIRE(children[i] >= 0);
            if (children[i] == 0) {
                const struct sl_limits *worker = &t.worker[i + 1];
                uint64_t state = (uint64_t)round * 2 + i;
                uint32_t handles[64] = {0};
                for (unsigned n = 0;; n = (n + 1) % 64) {
                    if (handles[n]) sl_limits_leave(worker, handles[n], SL_LIMIT_TUNNELS);
                    handles[n] = sl_limits_enter(worker, crowded((unsigned)draw(&state, 40)), SL_LIMIT_TUNNELS, 100);
                }
            }
        }
        usleep(3000);
        for (uint32_t i = 0; i < 2; i++) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
        clear_column(&t, 1);
        clear_column(&t, 2);
        for (unsigned i = 0; i < 4; i++) CHECK_EQ(sl_limits_held(&t.worker[0], crowded(i), SL_LIMIT_TUNNELS), 1);
    }
    CHECK_EQ(held_by_all(&t), 4);
    for (unsigned i = 4; i < 16; i++) {
        kept[i] = sl_limits_enter(&t.worker[1], crowded(50 + i), SL_LIMIT_TUNNELS, 1);
        CHECK(kept[i] && !is_overflow(kept[i]));
    }
    close_table(&t);
}

int main(void)
{
    RUN(counts_up_to_the_limit_over_all_workers);
    RUN(the_gateway_has_a_row_of_its_own);
    RUN(leaves_only_what_was_entered);
    RUN(a_dead_workers_share_is_free_again);
    RUN(rows_change_hands_when_idle);
    RUN(a_mark_of_a_dead_worker_is_lifted);
    RUN(refuses_tables_of_another_shape);
    RUN(hashes_as_siphash_does);
    RUN(thousands_of_sources_have_rows_of_their_own);
    RUN(survives_a_corrupted_table);
    RUN(threads_at_two_sources_never_exceed_a_limit);
    RUN(threads_whose_rows_change_hands_never_exceed_a_limit);
    RUN(threads_that_find_no_row_share_the_overflow_and_its_limit);
    RUN(killed_processes_leave_nothing_behind);
    return CHECK_REPORT();
}
