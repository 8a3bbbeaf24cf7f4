/* Every errno of Linux has a row, and the ones without are named here as faults of a program that calls wrongly. */
#include "net/dial_error.h"

#include <errno.h>
#include <string.h>

#include "check.h"

/* All numbers of errno(3) that socket(2), bind(2) or connect(2) of TCP document or the network raises through SO_ERROR.
 * An errno that is in neither list must be the gateway's own fault (INTERNAL): it never blames the destination. */
static const struct {
    int error;
    enum sl_outcome outcome;
    enum sl_scope scope;
} rows[] = {
    {ECONNREFUSED, SL_OUTCOME_REFUSED, SL_SCOPE_OTHER},
    {ECONNRESET, SL_OUTCOME_REFUSED, SL_SCOPE_OTHER},
    {ETIMEDOUT, SL_OUTCOME_DIAL_TIMEOUT, SL_SCOPE_OTHER},
    {ENETUNREACH, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {ENETDOWN, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {EAFNOSUPPORT, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {EHOSTUNREACH, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EACCES, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EPERM, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EINVAL, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EPROTOTYPE, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EMFILE, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DESCRIPTORS},
    {ENFILE, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DESCRIPTORS},
    {EADDRNOTAVAIL, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_PORTS},
    {EADDRINUSE, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_PORTS},
    {EAGAIN, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    {ENOBUFS, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    {ENOMEM, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    {SL_DIAL_OWN, SL_OUTCOME_ADDRESS_PROHIBITED, SL_SCOPE_OTHER},
    {SL_DIAL_SOURCELESS, SL_OUTCOME_INTERNAL, SL_SCOPE_OTHER},
};

/* A program that calls wrongly, and errors of other kinds of files. */
static const int own_faults[] = {
    0,         ENOENT,    ESRCH,       EINTR,        E2BIG,        ENOEXEC,    EBADF,
    ECHILD,    EFAULT,    ENOTBLK,     EBUSY,        EEXIST,       EXDEV,      ENOTDIR,
    EISDIR,    ENOTTY,    ETXTBSY,     EFBIG,        ESPIPE,       EROFS,      EMLINK,
    EDOM,      ERANGE,    EDEADLK,     ENAMETOOLONG, ENOLCK,       ENOSYS,     ENOTEMPTY,
    ELOOP,     ENOMSG,    EIDRM,       ECHRNG,       EL2NSYNC,     EL3HLT,     EL3RST,
    ELNRNG,    EUNATCH,   ENOCSI,      EL2HLT,       EBADE,        EBADR,      EXFULL,
    ENOANO,    EBADRQC,   EBADSLT,     EBFONT,       ENOSTR,       ENODATA,    ETIME,
    ENOSR,     ENOPKG,    EREMOTE,     ENOLINK,      EADV,         ESRMNT,     EMULTIHOP,
    EDOTDOT,   EBADMSG,   EOVERFLOW,   ENOTUNIQ,     EBADFD,       EREMCHG,    ELIBACC,
    ELIBBAD,   ELIBSCN,   ELIBMAX,     ELIBEXEC,     EILSEQ,       ERESTART,   ESTRPIPE,
    ENOTSOCK,  EISCONN,   ENOTCONN,    ESHUTDOWN,    ETOOMANYREFS, EALREADY,   EINPROGRESS,
    ESTALE,    EUCLEAN,   ENOTNAM,     ENAVAIL,      EISNAM,       ENOMEDIUM,  EMEDIUMTYPE,
    ECANCELED, ENOKEY,    EKEYEXPIRED, EKEYREVOKED,  EKEYREJECTED, EOWNERDEAD, ENOTRECOVERABLE,
    ERFKILL,   EHWPOISON,
};

static int is_own_fault(int error)
{
    for (size_t i = 0; i < sizeof own_faults / sizeof *own_faults; i++)
        if (own_faults[i] == error) return 1;
    return 0;
}

TEST(the_rows_that_users_meet)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_EQ(sl_dial_outcome(rows[i].error), rows[i].outcome);
        CHECK_EQ(sl_dial_scope(rows[i].error), rows[i].scope);
    }
}

TEST(every_errno_has_a_row)
{
    for (int error = 0; error < 4096; error++) {
        int known = error == 0 || strerrorname_np(error) != NULL;
        enum sl_outcome outcome = sl_dial_outcome(error);
        if (known && is_own_fault(error) != (outcome == SL_OUTCOME_INTERNAL))
            CHECK_FAIL("%s is %s", error ? strerrorname_np(error) : "0", sl_outcome_text(outcome));
        if (!known && outcome != SL_OUTCOME_INTERNAL) CHECK_FAIL("errno %d does not exist and has a row", error);
        CHECK((outcome == SL_OUTCOME_GATEWAY_LIMIT) == (sl_dial_scope(error) != SL_SCOPE_OTHER));
        CHECK(outcome != SL_OUTCOME_CONNECTED && outcome != SL_OUTCOME_DENIED);
    }
}

TEST(the_most_telling_failure)
{
    static const enum sl_outcome order[] = {SL_OUTCOME_INTERNAL,         SL_OUTCOME_ADDRESS_PROHIBITED,
                                            SL_OUTCOME_GATEWAY_LIMIT,    SL_OUTCOME_NET_UNREACHABLE,
                                            SL_OUTCOME_HOST_UNREACHABLE, SL_OUTCOME_DIAL_TIMEOUT,
                                            SL_OUTCOME_REFUSED};
    for (unsigned i = 1; i < sizeof order / sizeof *order; i++)
        CHECK(sl_dial_telling(order[i]) > sl_dial_telling(order[i - 1]));
}

int main(void)
{
    RUN(the_rows_that_users_meet);
    RUN(every_errno_has_a_row);
    RUN(the_most_telling_failure);
    return CHECK_REPORT();
}
