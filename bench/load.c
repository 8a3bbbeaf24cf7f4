/* The load generator's command line: `load origin` and `load client`; `load web` and `load requests` have their own.
 * Loopback only, bounded in number and in time.
 *
 *   load origin [--listen 127.0.0.1:0] [--seconds 120]
 *   load client MODE --origin 127.0.0.1:PORT [--via socks5|connect|http2|direct --proxy 127.0.0.1:PORT] [options]
 */
#include "load_common.h"
#include "load_options.h"
#include "load_origin.h"
#include "load_web.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BAD_ARGUMENTS = 2,
    COUNT_MOST = 1000000,
    AT_ONCE_MOST = 60000,
    SIZE_MOST = 1 << 20,
    SPARE_FILES = 32,
    SOURCES_MOST = 60000,
    CONNECTIONS_MOST = 1000,
    FRAME_MOST = 16777215,
    WINDOW_MOST = 0x7fffffff
};

static const char USAGE[] =
    "load origin [--listen 127.0.0.1:0] [--seconds 120]\n"
    "    echoes, swallows or sends a known pattern; prints {\"port\": N}; ends with its time or by SIGTERM\n"
    "load client MODE --origin ADDRESS:PORT [--via direct|socks5|connect|http2] [--proxy ADDRESS:PORT]\n"
    "    open-close  --count tunnels in all, --at-once of them at a time: open, one echo, close\n"
    "    pingpong    --count tunnels, round trips of --size bytes for --seconds\n"
    "    bulk-down   --count tunnels, for --seconds or --bytes each\n"
    "    bulk-up     the same, towards the origin; its end crosses and the origin reports, but with --end reset\n"
    "    idle        --count tunnels, one echo, quiet for --seconds, one echo\n"
    "  --rate N    open-close: N tunnels a second, pingpong: N messages a second on each; times count from when\n"
    "              each was due\n"
    "  --hold S    open-close: S seconds quiet after the echo, then a second one\n"
    "  --sources N connects from N addresses in turn, 127.1.0.1 and following\n"
    "  http2: --connections 1 that carry the tunnels in turn, --window 4194304 of a stream and --frame 16384 towards\n"
    "              us; --stalled N of bulk-down's tunnels grant nothing and are not counted\n"
    "  --tls       to the proxy, or the origin with --via direct: TLS 1.3, AES-128-GCM, X25519, any certificate is "
    "taken;\n"
    "              --certificate FILE --key FILE shows one; --resume goes on with the first connection's session\n"
    "  --count 1 --at-once 64 --seconds 5 --size 64 --bytes 0 --timeout 60 --end close|reset|half\n"
    "  --ask NAME  asks the proxy for a name instead of the origin's address: localhost, or one under .localhost,\n"
    "              .test, .example or .invalid\n"
    "load web [CERTIFICATE KEY]\n"
    "    the origin of HTTP requests; prints {\"port\": N, \"tls\": N, \"tls_http2\": N, \"silent\": N}\n"
    "load requests MODE --proxy ADDRESS:PORT --authority HOST:PORT\n"
    "    kept        --count connections, a request behind the other for --seconds, or --total of them\n"
    "    fresh       --count requests, each on a connection of its own, --at-once of them at a time\n"
    "    idle        --count connections, one request, quiet for --seconds, one request\n"
    "    stalled     one response, not read for --seconds behind its first bytes, and read to its end next\n"
    "  --size 1024 of a response; --absolute names the origin in the target; --http2 with --streams 1 on each\n"
    "              connection; --unary makes gRPC calls of them; --sources, --timeout as above\n"
    "Addresses are loopback. One line of JSON says what happened; exit code 0: no error, 1: errors,\n"
    "2: bad arguments.\n";

static int complain(const char *what, const char *value)
{
    fprintf(stderr, "load: %s: %s\n", what, value ? value : "(nothing)");
    return BAD_ARGUMENTS;
}

static int read_double(const char *text, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && isfinite(*out) && *out > 0 && *out <= most;
}

static int read_count(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9') return 0;
    *out = strtoull(text, &end, 10);
    return !*end && *out >= least && *out <= most;
}

/* Which of the texts it is, or -1. */
static int read_word(const char *text, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0) return i;
    return -1;
}

/* Names that lead nowhere else (RFC 6761, RFC 2606). */
static int is_reserved(const char *name)
{
    static const char *const tops[] = {"localhost", "test", "example", "invalid"};
    const char *dot = strrchr(name, '.');

    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") != strlen(name)) return 0;
    return dot ? read_word(dot + 1, tops, 4) >= 0 : strcmp(name, "localhost") == 0;
}

static int origin_main(int argc, char **argv)
{
    static const struct option known[] = {{"listen", 1, NULL, 'l'}, {"seconds", 1, NULL, 's'}, {NULL, 0, NULL, 0}};
    struct origin_options options = {.seconds = 120};
    int option;

    read_loopback("127.0.0.1:0", &options.listen, &options.listen_length);
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'l' && !read_loopback(optarg, &options.listen, &options.listen_length))
            return complain("--listen wants a loopback address and port", optarg);
        if (option == 's' && !read_double(optarg, 3600, &options.seconds))
            return complain("--seconds wants a number up to 3600", optarg);
        if (option == '?') return BAD_ARGUMENTS;
    }
    return optind == argc ? run_origin(&options) : complain("too many arguments", argv[optind]);
}

static const char *const VIAS[] = {"direct", "socks5", "connect", "http2"};
static const char *const ENDINGS[] = {"close", "reset", "half"};

/* Takes one option. Returns 0, or an exit code with a message. */
static int client_option(int option, const char *text, struct client_options *out)
{
    uint64_t count;
    int word;

    switch (option) {
    case 'o':
        if (read_loopback(text, &out->origin, &out->origin_length)) return 0;
        return complain("--origin wants a loopback address and port", text);
    case 'p':
        if (read_loopback(text, &out->proxy, &out->proxy_length)) return 0;
        return complain("--proxy wants a loopback address and port", text);
    case 'v':
        out->via = (enum via)(word = read_word(text, VIAS, 4));
        return word >= 0 ? 0 : complain("--via wants direct, socks5, connect or http2", text);
    case 'e':
        out->ending = (enum ending)(word = read_word(text, ENDINGS, 3));
        return word >= 0 ? 0 : complain("--end wants close, reset or half", text);
    case 'a':
        out->ask = text;
        return is_reserved(text) ? 0 : complain("--ask wants localhost or a name under a reserved top level", text);
    case 'n':
        out->count = read_count(text, 1, COUNT_MOST, &count) ? (size_t)count : 0;
        return out->count ? 0 : complain("--count wants 1 to 1000000", text);
    case 'c':
        out->at_once = read_count(text, 1, AT_ONCE_MOST, &count) ? (size_t)count : 0;
        return out->at_once ? 0 : complain("--at-once wants 1 to 60000", text);
    case 'z':
        out->size = read_count(text, 1, SIZE_MOST, &count) ? (size_t)count : 0;
        return out->size ? 0 : complain("--size wants 1 to 1048576", text);
    case 'b':
        return read_count(text, 0, 1ull << 40, &out->bytes) ? 0 : complain("--bytes wants a number up to 2^40", text);
    case 's': return read_double(text, 600, &out->seconds) ? 0 : complain("--seconds wants a number up to 600", text);
    case 'r': return read_double(text, 1000000, &out->rate) ? 0 : complain("--rate wants a number up to 1000000", text);
    case 'f':
        out->sources = read_count(text, 1, SOURCES_MOST, &count) ? (unsigned)count : 0;
        return out->sources ? 0 : complain("--sources wants 1 to 60000", text);
    case 'm':
        out->connections = read_count(text, 1, CONNECTIONS_MOST, &count) ? (size_t)count : 0;
        return out->connections ? 0 : complain("--connections wants 1 to 1000", text);
    case 'd':
        out->stalled = read_count(text, 0, AT_ONCE_MOST, &count) ? (size_t)count : SIZE_MAX;
        return out->stalled != SIZE_MAX ? 0 : complain("--stalled wants 0 to 60000", text);
    case 'w':
        return read_count(text, 16384, WINDOW_MOST, &out->window)
                   ? 0
                   : complain("--window wants 16384 to 2147483647", text);
    case 'x':
        return read_count(text, 16384, FRAME_MOST, &out->frame) ? 0 : complain("--frame wants 16384 to 16777215", text);
    case 'T': return !(out->tls = 1);
    case 'R': return !(out->resume = 1);
    case 'C': return !(out->certificate = text);
    case 'K': return !(out->key = text);
    case 'h': return read_double(text, 600, &out->hold) ? 0 : complain("--hold wants a number up to 600", text);
    case 't': return read_double(text, 3600, &out->timeout) ? 0 : complain("--timeout wants a number up to 3600", text);
    default: return BAD_ARGUMENTS;
    }
}

/* Values that follow from the options together. */
static int check_client(struct client_options *options)
{
    size_t files = raise_files();

    if (!options->origin_length) return complain("--origin is needed", NULL);
    if (options->via != DIRECT && !options->proxy_length) return complain("--proxy is needed", NULL);
    if (options->via == DIRECT && options->ask) return complain("--ask needs a proxy", options->ask);
    if (options->sources && (options->via == DIRECT ? options->origin : options->proxy).ss_family != AF_INET)
        return complain("--sources goes with", "IPv4");
    if ((options->resume || options->certificate) && !options->tls)
        return complain("--resume and --certificate go with", "--tls");
    if (!options->certificate != !options->key) return complain("--certificate and --key go", "together");
    if (options->resume && options->via == HTTP2) return complain("--resume goes with", "connections of one tunnel");
    if (options->hold > 0 && options->mode != OPEN_CLOSE) return complain("--hold goes with", "open-close");
    if (options->rate > 0 && options->mode != OPEN_CLOSE && options->mode != PING_PONG)
        return complain("--rate goes with", "open-close and pingpong");
    if (options->via != HTTP2 && (options->connections > 1 || options->stalled))
        return complain("--connections and --stalled go with", "--via http2");
    if (options->stalled && (options->mode != BULK_DOWN || options->stalled >= options->count))
        return complain("--stalled goes with bulk-down, and", "more tunnels than that");
    if (options->mode != OPEN_CLOSE) {
        if (options->count > AT_ONCE_MOST) return complain("--count", "at most 60000 tunnels can be open at once");
        options->at_once = options->count;
    }
    if (options->at_once + SPARE_FILES > files)
        return complain("the limit of open files is too low for so many tunnels", "see `ulimit -Hn`");
    return 0;
}

static int client_main(int argc, char **argv)
{
    static const char *const modes[] = {"open-close", "pingpong", "bulk-down", "bulk-up", "idle"};
    static const struct option known[] = {
        {"origin", 1, NULL, 'o'},  {"proxy", 1, NULL, 'p'},   {"via", 1, NULL, 'v'},
        {"end", 1, NULL, 'e'},     {"ask", 1, NULL, 'a'},     {"count", 1, NULL, 'n'},
        {"at-once", 1, NULL, 'c'}, {"size", 1, NULL, 'z'},    {"bytes", 1, NULL, 'b'},
        {"seconds", 1, NULL, 's'}, {"timeout", 1, NULL, 't'}, {"connections", 1, NULL, 'm'},
        {"stalled", 1, NULL, 'd'}, {"window", 1, NULL, 'w'},  {"frame", 1, NULL, 'x'},
        {"rate", 1, NULL, 'r'},    {"hold", 1, NULL, 'h'},    {"sources", 1, NULL, 'f'},
        {"tls", 0, NULL, 'T'},     {"resume", 0, NULL, 'R'},  {"certificate", 1, NULL, 'C'},
        {"key", 1, NULL, 'K'},     {NULL, 0, NULL, 0},
    };
    struct client_options options = {.count = 1,
                                     .at_once = 64,
                                     .size = 64,
                                     .seconds = 5,
                                     .timeout = 60,
                                     .connections = 1,
                                     .window = 4 << 20,
                                     .frame = 16384};
    int option, bad, mode;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        if ((bad = client_option(option, optarg, &options))) return bad;
    mode = optind + 1 == argc ? read_word(argv[optind], modes, 5) : -1;
    if (mode < 0) return complain("one mode is needed: open-close, pingpong, bulk-down, bulk-up or idle", argv[optind]);
    options.mode = (enum mode)mode;
    if ((bad = check_client(&options))) return bad;
    return run_client(&options, modes[mode], VIAS[options.via]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "origin") == 0) return origin_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "client") == 0) return client_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "web") == 0) return web_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "requests") == 0) return requests_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) return fputs(USAGE, stdout) < 0;
    fputs(USAGE, stderr);
    return BAD_ARGUMENTS;
}
