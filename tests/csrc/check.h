/* The test harness of the C units: counts, names and nothing else.
 *
 *   TEST(adds) { CHECK(1 + 1 == 2); CHECK_EQ(1 + 1, 2); CHECK_STR("a", "a"); }
 *   int main(void) { RUN(adds); return CHECK_REPORT(); }
 *
 * A failed check prints its place and the test goes on; REQUIRE ends a test (a void function) at the first failure.
 * The last line of every binary is `<name>: N passed, N failed`, which tests/csrc/Makefile adds up. */
#ifndef SLUICE_CHECK_H
#define SLUICE_CHECK_H

#include <stdio.h>
#include <string.h>

static unsigned check_passed, check_failed; /* tests */
static unsigned check_failures;             /* checks of the test that runs */

#define TEST(name) static void name(void)

#define CHECK_FAIL(...)                                     \
    do {                                                    \
        if (check_failures++ < 20) {                        \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
            fprintf(stderr, __VA_ARGS__);                   \
            fputc('\n', stderr);                            \
        }                                                   \
    } while (0)

#define CHECK(condition)                                \
    do {                                                \
        if (!(condition)) CHECK_FAIL("%s", #condition); \
    } while (0)

/* A check with a word on which row of a table it was. */
#define CHECK_AT(condition, what)                                  \
    do {                                                           \
        if (!(condition)) CHECK_FAIL("%s (%s)", #condition, what); \
    } while (0)

#define REQUIRE(condition)                \
    do {                                  \
        if (!(condition)) {               \
            CHECK_FAIL("%s", #condition); \
            return;                       \
        }                                 \
    } while (0)

/* Integers of any kind, compared as long long. */
#define CHECK_EQ(got, want)                                                                    \
    do {                                                                                       \
        long long got_ = (long long)(got), want_ = (long long)(want);                          \
        if (got_ != want_) CHECK_FAIL("%s is %lld, want %s = %lld", #got, got_, #want, want_); \
    } while (0)

#define CHECK_STR(got, want)                                                                      \
    do {                                                                                          \
        const char *got_ = (got), *want_ = (want);                                                \
        if (strcmp(got_, want_) != 0) CHECK_FAIL("%s is \"%s\", want \"%s\"", #got, got_, want_); \
    } while (0)

#define RUN(name)                                  \
    do {                                           \
        check_failures = 0;                        \
        name();                                    \
        if (check_failures) {                      \
            check_failed++;                        \
            fprintf(stderr, "FAILED %s\n", #name); \
        } else {                                   \
            check_passed++;                        \
        }                                          \
    } while (0)

static inline int check_report(const char *file)
{
    const char *base = strrchr(file, '/');
    printf("%s: %u passed, %u failed\n", base ? base + 1 : file, check_passed, check_failed);
    return check_failed || !check_passed ? 1 : 0;
}
#define CHECK_REPORT() check_report(__FILE__)

#endif
