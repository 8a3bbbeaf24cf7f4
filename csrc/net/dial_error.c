/* One table, by errno. Sources: connect(2), ip(7), tcp(7), icmp_err_convert and tab_unreach of the kernel. */
#include "net/dial_error.h"

#include <errno.h>

struct row {
    int error;
    enum sl_outcome outcome;
    enum sl_scope scope;
};

static const struct row rows[] = {
    /* the destination answered that it does not want to */
    {ECONNREFUSED, SL_OUTCOME_REFUSED, SL_SCOPE_OTHER},
    {ECONNRESET, SL_OUTCOME_REFUSED, SL_SCOPE_OTHER},
    {ECONNABORTED, SL_OUTCOME_REFUSED, SL_SCOPE_OTHER},
    {EPIPE, SL_OUTCOME_REFUSED, SL_SCOPE_OTHER},
    /* no answer */
    {ETIMEDOUT, SL_OUTCOME_DIAL_TIMEOUT, SL_SCOPE_OTHER},
    /* no way to its network: no route, no such family here, the interface is down or gone */
    {ENETUNREACH, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {ENETDOWN, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {ENETRESET, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {ENONET, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {ENODEV, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {ENXIO, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {EAFNOSUPPORT, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    {EPFNOSUPPORT, SL_OUTCOME_NET_UNREACHABLE, SL_SCOPE_OTHER},
    /* no way to the host: a router, a filter or the address itself says so */
    {EHOSTUNREACH, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EHOSTDOWN, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EACCES, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER}, /* broadcast, `prohibit`, administratively */
    {EPERM, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},  /* a local packet filter */
    {EINVAL, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER}, /* fe80:: without a zone, `blackhole` */
    {EDESTADDRREQ, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EPROTOTYPE, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EPROTONOSUPPORT, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {ENOPROTOOPT, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER}, /* ICMP: protocol unreachable */
    {EPROTO, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},      /* ICMPv6: parameter problem */
    {EOPNOTSUPP, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},  /* ICMP: source route failed */
    {ESOCKTNOSUPPORT, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EMSGSIZE, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER}, /* ICMP: fragmentation needed */
    {EIO, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {EREMOTEIO, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    {ECOMM, SL_OUTCOME_HOST_UNREACHABLE, SL_SCOPE_OTHER},
    /* nothing is wrong with the destination: the gateway has run out of something */
    {EMFILE, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DESCRIPTORS},
    {ENFILE, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DESCRIPTORS},
    {EADDRNOTAVAIL, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_PORTS}, /* no source port is left for this destination */
    {EADDRINUSE, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_PORTS},
    {EAGAIN, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    {ENOBUFS, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    {ENOMEM, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    {ENOSPC, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY}, /* epoll: fs.epoll.max_user_watches */
    {EDQUOT, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    {EUSERS, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_MEMORY},
    /* the gateway's own check */
    {SL_DIAL_OWN, SL_OUTCOME_ADDRESS_PROHIBITED, SL_SCOPE_OTHER},
};

static const struct row *find(int error)
{
    static const struct row unknown = {0, SL_OUTCOME_INTERNAL, SL_SCOPE_OTHER};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].error == error) return &rows[i];
    return &unknown;
}

enum sl_outcome sl_dial_outcome(int error)
{
    return find(error)->outcome;
}

enum sl_scope sl_dial_scope(int error)
{
    return find(error)->scope;
}

int sl_dial_telling(enum sl_outcome outcome)
{
    static const enum sl_outcome order[] = {SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_GATEWAY_LIMIT,
                                            SL_OUTCOME_NET_UNREACHABLE,    SL_OUTCOME_HOST_UNREACHABLE,
                                            SL_OUTCOME_DIAL_TIMEOUT,       SL_OUTCOME_REFUSED};
    for (unsigned i = 0; i < sizeof order / sizeof *order; i++)
        if (order[i] == outcome) return (int)i + 1;
    return 0;
}
