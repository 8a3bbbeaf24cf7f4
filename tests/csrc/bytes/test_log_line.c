/* Access log lines: every field, every null, hostile bytes, and no byte past the room. */
#include "check.h"
#include "base/contract.h"
#include "bytes/log_line.h"

#include <stdlib.h>

static struct sl_addr address(const char *text)
{
    struct sl_addr addr;
    memset(&addr, 0, sizeof addr);
    if (!sl_addr_parse(text, strlen(text), &addr)) CHECK_FAIL("%s is not an address", text);
    return addr;
}

static struct sl_log_text text(const char *bytes)
{
    return (struct sl_log_text){bytes, bytes ? strlen(bytes) : 0};
}

static const struct sl_addr NOWHERE;

/* A line with as little as there can be. */
static struct sl_log_line least(void)
{
    return (struct sl_log_line){
        .unix_ms = 1709251199007, /* the end of a leap day */
        .event = "open",
        .id_prefix = "0-18f-",
        .sequence = 1,
        .generation = 2,
        .listener = text("mesh"),
        .protocol = "socks5",
        .peer = &NOWHERE,
        .address = &NOWHERE,
        .verdict = "allow",
        .phase = "name",
        .reason = "rule_allow",
        .dns_ms = -1,
        .dial_ms = -1,
    };
}

static char *written(const struct sl_log_line *line)
{
    static char out[SL_LOG_LINE_MOST + 1];
    struct sl_log_clock clock = {0};
    size_t length = sl_log_line_write(out, SL_LOG_LINE_MOST, &clock, line);
    out[length] = 0;
    return out;
}

TEST(a_line_of_nulls)
{
    struct sl_log_line line = least();
    CHECK_STR(
        written(&line),
        "{\"ts\":\"2024-02-29T23:59:59.007Z\",\"event\":\"open\",\"id\":\"0-18f-1\",\"generation\":2,\"worker\":0,"
        "\"listener\":\"mesh\",\"protocol\":\"socks5\",\"source\":{\"ip\":null,\"port\":0,\"identity\":null,"
        "\"identity_source\":null,\"user\":null},\"destination\":{\"host\":null,\"port\":0,\"address\":null},"
        "\"verdict\":\"allow\",\"rule\":null,\"rule_item\":null,\"list_line\":null,\"phase\":\"name\",\"reason\":"
        "\"rule_allow\",\"would_deny\":false,"
        "\"inner\":null,\"addresses_refused\":null,\"dns_ms\":null,\"dial_ms\":null,\"source_address\":null,"
        "\"tls\":null}\n");
}

TEST(a_line_of_everything)
{
    struct sl_log_line line = least();
    struct sl_addr peer = address("10.1.2.3"), to = address("2001:db8::1"), source_address = address("192.0.2.9");
    line.event = "close";
    line.worker = 3;
    line.sequence = UINT64_MAX;
    line.peer = &peer;
    line.peer_port = 65535;
    line.namespace_ = "shop";
    line.account = "cart";
    line.identity_source = "network";
    line.user = text("build-bot");
    line.name = text("api.example.com");
    line.address = &to;
    line.port = 443;
    line.rule = text("EgressPolicy/shop/payments");
    line.rule_item = 3;
    line.list_line = 4294967295;
    line.would_deny = 1;
    line.inner = text("api.example.com");
    line.dns_ms = 0;
    line.dial_ms = 2147483647;
    line.source_address = &source_address;
    line.outcome = "closed";
    line.carried = 1;
    line.bytes_up = 0;
    line.bytes_down = 18446744073709551615ull;
    line.duration_ms = 1000;
    CHECK_STR(
        written(&line),
        "{\"ts\":\"2024-02-29T23:59:59.007Z\",\"event\":\"close\",\"id\":\"0-18f-18446744073709551615\","
        "\"generation\":2,\"worker\":3,\"listener\":\"mesh\",\"protocol\":\"socks5\",\"source\":{\"ip\":\"10.1.2.3\","
        "\"port\":65535,\"identity\":\"shop/cart\",\"identity_source\":\"network\",\"user\":\"build-bot\"},"
        "\"destination\":{\"host\":\"api.example.com\",\"port\":443,\"address\":\"2001:db8::1\"},"
        "\"verdict\":\"allow\",\"rule\":\"EgressPolicy/shop/payments\",\"rule_item\":3,\"list_line\":4294967295,"
        "\"phase\":\"name\",\"reason\":\"rule_allow\","
        "\"would_deny\":true,\"inner\":\"api.example.com\",\"addresses_refused\":null,\"dns_ms\":0,\"dial_ms\":"
        "2147483647,"
        "\"source_address\":\"192.0.2.9\",\"tls\":null,"
        "\"outcome\":\"closed\",\"bytes_up\":0,\"bytes_down\":18446744073709551615,\"duration_ms\":1000}\n");
}

TEST(ids_of_a_trace)
{
    static const uint8_t trace_id[SL_TRACE_ID] = {0x4b, 0xf9, [15] = 0x36}, span_id[SL_SPAN_ID] = {0, 0xf0, [7] = 0xb7};
    struct sl_log_line line = least();
    struct sl_log_trace trace = {0};
    CHECK(!strstr(written(&line), "trace_id"));
    line.trace = &trace;
    CHECK(strstr(written(&line), "\"tls\":null,\"trace_id\":null,\"span_id\":null}\n"));
    trace.trace_id = trace_id;
    trace.span_id = span_id;
    CHECK(strstr(written(&line),
                 ",\"trace_id\":\"4bf90000000000000000000000000036\",\"span_id\":\"00f00000000000b7\"}\n"));
}

TEST(a_span_and_its_tries)
{
    static const uint8_t trace_id[SL_TRACE_ID] = {1}, span_id[SL_SPAN_ID] = {2}, parent[SL_SPAN_ID] = {3};
    struct sl_log_line line = least();
    struct sl_log_try tries[9] = {{.span_id = {4}, .dns_ms = -1, .dial_ms = -1, .tls_ms = -1, .first_byte_ms = -1}};
    struct sl_log_span span = {.tls_ms = -1, .start_us = 5, .end_us = UINT64_MAX};
    struct sl_log_trace trace = {trace_id, span_id, &span};
    line.trace = &trace;
    CHECK(strstr(written(&line), ",\"span\":{\"parent\":null,\"start_us\":5,\"end_us\":18446744073709551615,"
                                 "\"secure\":false,\"tls_ms\":null,\"tries\":[]}"));
    span.parent = parent;
    span.secure = 1;
    span.tries = tries;
    span.try_count = 2;
    tries[1] = (struct sl_log_try){.span_id = {5},
                                   .reused = 1,
                                   .port = 443,
                                   .status = 200,
                                   .tls_ms = 7,
                                   .start_us = 8,
                                   .end_us = 9,
                                   .outcome = "closed"};
    tries[1].address = address("203.0.113.9");
    CHECK(
        strstr(written(&line),
               "{\"parent\":\"0300000000000000\",\"start_us\":5,\"end_us\":18446744073709551615,\"secure\":true,"
               "\"tls_ms\":null,\"tries\":[{\"span_id\":\"0400000000000000\",\"start_us\":0,\"end_us\":0,\"address\":"
               "null,\"port\":null,\"reused\":false,\"dns_ms\":null,\"dial_ms\":null,\"tls_ms\":null,\"first_byte_ms\":"
               "null,\"status\":null,\"outcome\":null},{\"span_id\":\"0500000000000000\",\"start_us\":8,\"end_us\":9,"
               "\"address\":\"203.0.113.9\",\"port\":443,\"reused\":true,\"dns_ms\":0,\"dial_ms\":0,\"tls_ms\":7,"
               "\"first_byte_ms\":0,\"status\":200,\"outcome\":\"closed\"}]}"));
    span.try_count = 8;
    CHECK(strlen(written(&line)) < SL_LOG_LINE_MOST / 2);
}

TEST(an_interval_has_no_outcome_yet)
{
    struct sl_log_line line = least();
    CHECK(!strstr(written(&line), "outcome"));
    line.carried = 1;
    CHECK(strstr(written(&line), ",\"outcome\":null,\"bytes_up\":0,\"bytes_down\":0,\"duration_ms\":0}\n"));
}

TEST(an_address_is_the_host_where_no_name_was_asked_for)
{
    struct sl_log_line line = least();
    struct sl_addr to = address("127.0.0.1");
    line.address = &to;
    CHECK(strstr(written(&line), "\"destination\":{\"host\":\"127.0.0.1\",\"port\":0,\"address\":\"127.0.0.1\"}"));
}

TEST(what_others_chose_is_printable_ascii)
{
    struct sl_log_line line = least();
    line.user = (struct sl_log_text){"a\"b\\c\n\x1b[31m\0\x7f\xff\xc3\xa9", 16};
    line.inner = text("\r\t");
    line.namespace_ = "x\ny";
    line.account = "\"";
    char *out = written(&line);
    CHECK(strstr(out, "\"user\":\"a\\\"b\\\\x5cc\\\\x0a\\\\x1b[31m\\\\x00\\\\x7f\\\\xff\\\\xc3\\\\xa9\""));
    CHECK(strstr(out, "\"inner\":\"\\\\x0d\\\\x09\""));
    CHECK(strstr(out, "\"identity\":\"x\\\\x0ay/\\\"\""));
    for (char *at = out; *at; at++) CHECK((*at >= 32 && *at < 127) || (*at == '\n' && !at[1]));
}

TEST(every_byte_of_a_user_is_escaped_or_itself)
{
    struct sl_log_line line = least();
    for (unsigned byte = 0; byte < 256; byte++) {
        char one = (char)byte, want[32];
        line.user = (struct sl_log_text){&one, 1};
        if (byte == '"')
            snprintf(want, sizeof want, "\"user\":\"\\\"\"");
        else if (byte >= 32 && byte < 127 && byte != '\\')
            snprintf(want, sizeof want, "\"user\":\"%c\"", (int)byte);
        else
            snprintf(want, sizeof want, "\"user\":\"\\\\x%02x\"", byte);
        CHECK_AT(strstr(written(&line), want) != NULL, want);
    }
}

TEST(a_refused_line)
{
    struct sl_log_line line = least();
    struct sl_refused_address refused[2] = {{.reason = SL_REASON_LOOPBACK}, {.reason = SL_REASON_ADDRESS_DENIED}};
    CHECK(sl_addr_parse("127.0.0.1", 9, &refused[0].address) && sl_addr_parse("2001:db8::1", 11, &refused[1].address));
    line.verdict = NULL;
    line.is_refused = 1;
    line.suppressed = 4294967295;
    line.detail = text("a \"rule\"\n");
    line.refused = refused;
    line.refused_count = 2;
    CHECK(strstr(written(&line), "\"verdict\":null,\"rule\":null,\"rule_item\":null"));
    CHECK(strstr(written(&line), "\"addresses_refused\":[{\"address\":\"127.0.0.1\",\"reason\":\"address_loopback\"},"
                                 "{\"address\":\"2001:db8::1\",\"reason\":\"address_denied\"}],\"dns_ms\""));
    CHECK(!strstr(written(&line), "baggage"));
    line.baggage = text("a=\x01");
    CHECK(strstr(written(&line), "\"baggage\":\"a=\\\\x01\""));
    CHECK(strstr(written(&line), "\"detail\":\"a \\\"rule\\\"\\\\x0a\",\"suppressed\":4294967295"));
}

TEST(a_close_line_has_a_detail_where_there_is_one)
{
    struct sl_log_line line = least();
    line.carried = 1;
    line.outcome = "reset";
    CHECK(!strstr(written(&line), "detail"));
    line.detail = text("bad record");
    CHECK(strstr(written(&line), ",\"detail\":\"bad record\",\"outcome\":\"reset\""));
    CHECK(!strstr(written(&line), "suppressed"));
}

TEST(rule_names_stay_readable)
{
    struct sl_log_line line = least();
    line.rule = text("caf\xc3\xa9 \"q\" \\ \x01\x7f");
    CHECK(strstr(written(&line), "\"rule\":\"caf\xc3\xa9 \\\"q\\\" \\\\ \\u0001\\u007f\""));
}

TEST(seconds_change_and_come_back)
{
    struct sl_log_line line = least();
    struct sl_log_clock clock = {0};
    char out[SL_LOG_LINE_MOST];
    static const struct {
        uint64_t ms;
        const char *text;
    } times[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {999, "1970-01-01T00:00:00.999Z"},
        {1000, "1970-01-01T00:00:01.000Z"},
        {1709251199999, "2024-02-29T23:59:59.999Z"},
        {1709251200000, "2024-03-01T00:00:00.000Z"},
        {1709251199999, "2024-02-29T23:59:59.999Z"}, /* the clock was set back */
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    for (unsigned i = 0; i < sizeof times / sizeof *times; i++) {
        line.unix_ms = times[i].ms;
        CHECK(sl_log_line_write(out, sizeof out, &clock, &line) > 0);
        CHECK_AT(memcmp(out + 7, times[i].text, strlen(times[i].text)) == 0, times[i].text);
    }
    line.unix_ms = 253402300800000; /* a year of five digits */
    CHECK_EQ(sl_log_line_write(out, sizeof out, &clock, &line), 0);
    line.unix_ms = UINT64_MAX;
    CHECK_EQ(sl_log_line_write(out, sizeof out, &clock, &line), 0);
    line.unix_ms = 0;
    CHECK(sl_log_line_write(out, sizeof out, &clock, &line) > 0);
}

TEST(a_line_that_does_not_fit_is_none)
{
    struct sl_log_line line = least();
    struct sl_log_clock clock = {0};
    size_t whole = strlen(written(&line));
    for (size_t room = 0; room <= whole; room++) {
        char *out = malloc(room ? room : 1); /* of its own, so that a write past the end is found */
        CHECK_EQ(sl_log_line_write(out, room, &clock, &line), room < whole ? 0 : whole);
        free(out);
    }
}

static const char *path_of(const struct sl_log_line *line)
{
    static char path[SL_LOG_LINE_MOST + 1];
    const char *from = strstr(written(line), ",\"path\":\"");
    if (!from) return "";
    strcpy(path, from + strlen(",\"path\":\""));
    if (strlen(path) > 3) path[strlen(path) - 3] = 0; /* "}\n */
    return path;
}

TEST(a_request_line)
{
    struct sl_log_line line = least();
    struct sl_log_request request = {.method = text("GET"), .path = text("/a"), .first_byte_ms = -1};
    line.event = "request";
    line.outcome = "closed";
    line.carried = 1;
    line.request = &request;
    CHECK(strstr(written(&line), "\"outcome\":\"closed\",\"bytes_up\":0,\"bytes_down\":0,\"duration_ms\":0,"
                                 "\"method\":\"GET\",\"status\":null,\"route\":null,\"backend\":null,\"tries\":0,"
                                 "\"mirrored\":0,\"first_byte_ms\":null,\"downgraded\":false,\"path\":\"/a\"}\n"));
    request.method = text("\"x\n");
    request.has_query = 1;
    request.status = 503;
    request.route = text("HTTPRoute/shop/caf\xc3\xa9");
    request.backend = text("Service/shop/cart:8080");
    request.tries = 3;
    request.mirrored = 2;
    request.first_byte_ms = 7;
    request.downgraded = 1;
    CHECK(strstr(written(&line), "\"method\":\"\\\"x\\\\x0a\",\"status\":503,\"route\":\"HTTPRoute/shop/caf\xc3\xa9\","
                                 "\"backend\":\"Service/shop/cart:8080\",\"tries\":3,\"mirrored\":2,"
                                 "\"first_byte_ms\":7,\"downgraded\":true,\"path\":\"/a?(redacted)\"}\n"));
    request.query = text("b=\xff");
    CHECK_STR(path_of(&line), "/a?b=\\\\xff");
    request.query = text("");
    CHECK_STR(path_of(&line), "/a?");
}

TEST(a_path_is_cut)
{
    static char longest[65536];
    struct sl_log_line line = least();
    struct sl_log_request request = {.method = text("GET"), .has_query = 1, .query = text("q")};
    line.request = &request;
    memset(longest, 'a', sizeof longest);
    request.path = (struct sl_log_text){longest, SL_LOG_PATH_MOST - 1};
    CHECK_EQ(strlen(path_of(&line)), SL_LOG_PATH_MOST + 1);
    request.path.length = SL_LOG_PATH_MOST;
    CHECK_EQ(strlen(path_of(&line)), SL_LOG_PATH_MOST);
    request.path.length = sizeof longest;
    CHECK_EQ(strlen(path_of(&line)), SL_LOG_PATH_MOST);
    request.path.length = 1;
    request.query = (struct sl_log_text){longest, sizeof longest};
    CHECK_EQ(strlen(path_of(&line)), SL_LOG_PATH_MOST + 1);
}

TEST(the_longest_of_everything_fits)
{
    static char hostile[65536];
    struct sl_log_line line = least();
    struct sl_addr longest = address("1111:2222:3333:4444:5555:6666:7777:8888");
    static char bytes[256], label[64];
    memset(bytes, 1, 255);
    memset(label, 1, 63);
    line.user = (struct sl_log_text){bytes, 255};
    line.name = line.inner = (struct sl_log_text){bytes, 253};
    line.namespace_ = label;
    line.account = bytes;
    line.peer = line.address = &longest;
    line.listener = (struct sl_log_text){label, 63};
    line.rule = (struct sl_log_text){bytes, 255};
    line.carried = 1;
    line.bytes_up = line.bytes_down = line.duration_ms = line.generation = line.sequence = UINT64_MAX;
    CHECK(strlen(written(&line)) > 6000);
    memset(hostile, '\\', sizeof hostile);
    struct sl_log_request request = {.method = {hostile, 32}, .path = {hostile, sizeof hostile}, .status = 599};
    line.request = &request;
    line.inner = text(NULL); /* nothing is looked at inside of a request */
    CHECK(strlen(written(&line)) > 8000);
}

TEST(the_facts_of_tls)
{
    struct sl_log_tls client = {.version = "TLSv1.3", .alpn = "h2", .sni = text("a\nb"), .peer = text("CN=x\"y")};
    struct sl_log_tls upstream = {.cipher = "TLS_AES_128_GCM_SHA256", .group = "x25519", .failure = "alert"};
    struct sl_log_line line = least();
    line.client_tls = &client;
    CHECK(strstr(written(&line), ",\"tls\":{\"client\":{\"version\":\"TLSv1.3\",\"cipher\":null,\"group\":null,"
                                 "\"alpn\":\"h2\",\"sni\":\"a\\\\x0ab\",\"peer\":\"CN=x\\\"y\","
                                 "\"failure\":null},\"upstream\":null}") != NULL);
    line.client_tls = NULL;
    line.upstream_tls = &upstream;
    CHECK(strstr(written(&line),
                 ",\"tls\":{\"client\":null,\"upstream\":{\"version\":null,"
                 "\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"group\":\"x25519\",\"alpn\":null,\"sni\":null,"
                 "\"peer\":null,\"failure\":\"alert\"}}") != NULL);
}

TEST(an_identity_without_a_namespace)
{
    struct sl_log_line line = least();
    line.identity = text("spiffe://m/x");
    line.identity_source = "certificate";
    CHECK(strstr(written(&line), "\"identity\":\"spiffe://m/x\",\"identity_source\":\"certificate\"") != NULL);
    line.namespace_ = "shop";
    line.account = "cart";
    CHECK(strstr(written(&line), "\"identity\":\"shop/cart\"") != NULL);
}

int main(void)
{
    RUN(a_line_of_nulls);
    RUN(a_line_of_everything);
    RUN(ids_of_a_trace);
    RUN(a_span_and_its_tries);
    RUN(an_interval_has_no_outcome_yet);
    RUN(an_address_is_the_host_where_no_name_was_asked_for);
    RUN(what_others_chose_is_printable_ascii);
    RUN(every_byte_of_a_user_is_escaped_or_itself);
    RUN(a_refused_line);
    RUN(a_close_line_has_a_detail_where_there_is_one);
    RUN(rule_names_stay_readable);
    RUN(seconds_change_and_come_back);
    RUN(a_line_that_does_not_fit_is_none);
    RUN(a_request_line);
    RUN(a_path_is_cut);
    RUN(the_longest_of_everything_fits);
    RUN(the_facts_of_tls);
    RUN(an_identity_without_a_namespace);
    return CHECK_REPORT();
}
