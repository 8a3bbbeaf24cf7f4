/* The HTTP/1 rows of test_inner.c: what a head shows, by the sentence. Included there, and nowhere else. */

struct http_row {
    const char *what;
    const uint8_t *data;
    size_t length;
    const char *name, *address;
};

static void check_rows(const struct http_row *rows, size_t count, enum sl_inner_status status, int whole)
{
    for (size_t i = 0; i < count; i++) {
        struct expectation want = {.status = status, .name = rows[i].name, .address = rows[i].address};
        size_t known = check_vector(rows[i].data, rows[i].length, &want, rows[i].what);
        CHECK_AT(!whole || known == rows[i].length, rows[i].what);
        CHECK_AT(known <= rows[i].length, rows[i].what);
    }
}
#define CHECK_ROWS(rows, status, whole) check_rows(rows, sizeof rows / sizeof *rows, status, whole)

TEST(requests_with_a_name)
{
    static const struct http_row rows[] = {
        {"origin form", BYTES("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), "example.com", NULL},
        {"HTTP/1.0", BYTES("HEAD /a?b HTTP/1.0\r\nHost: example.com\r\n\r\n"), "example.com", NULL},
        {"a later HTTP/1", BYTES("GET / HTTP/1.9\r\nHost: example.com\r\n\r\n"), "example.com", NULL},
        {"Host with a port", BYTES("GET / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n"), "example.com", NULL},
        {"Host with an empty port", BYTES("GET / HTTP/1.1\r\nHost: example.com:\r\n\r\n"), "example.com", NULL},
        {"Host in capitals, a dot behind", BYTES("GET / HTTP/1.1\r\nhOST:\t EXAMPLE.com. \t\r\n\r\n"), "example.com",
         NULL},
        {"Host without a space", BYTES("GET / HTTP/1.1\r\nA: b\r\nHost:a.example\r\nC:\r\n\r\n"), "a.example", NULL},
        {"Host is an IPv4 address", BYTES("GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"), NULL, "192.0.2.1"},
        {"Host is an IPv6 address", BYTES("GET / HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\n\r\n"), NULL, "2001:db8::1"},
        {"asterisk form", BYTES("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n"), "a.example", NULL},
        {"absolute form alone", BYTES("GET http://a.example/x HTTP/1.1\r\n\r\n"), "a.example", NULL},
        {"absolute form and its Host", BYTES("GET http://A.example:80/ HTTP/1.1\r\nHost: a.example\r\n\r\n"),
         "a.example", NULL},
        {"absolute form, a query at once", BYTES("GET http://a.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n"),
         "a.example", NULL},
        {"absolute form with an address", BYTES("GET https://[::1]/ HTTP/1.1\r\nHost: [::1]\r\n\r\n"), NULL, "::1"},
        {"absolute form of any scheme", BYTES("GET x+y-1.0://a.example HTTP/1.1\r\n\r\n"), "a.example", NULL},
        {"CONNECT", BYTES("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n"), "a.example", NULL},
        {"CONNECT to an address", BYTES("CONNECT 192.0.2.1:443 HTTP/1.0\r\n\r\n"), NULL, "192.0.2.1"},
        {"empty lines ahead", BYTES("\r\n\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), "a.example", NULL},
        {"bytes over 127 in target and value",
         BYTES("GET /\xc3\xbc HTTP/1.1\r\nX: \xc3\xbc\r\nHost: a.example\r\n\r\n"), "a.example", NULL},
        {"HTTP/ in the path", BYTES("GET /HTTP/1.0 HTTP/1.1\r\nHost: a.example\r\n\r\n"), "a.example", NULL},
        {"a name like Host", BYTES("GET / HTTP/1.1\r\nHosts: b\r\nX-Host: c\r\nHost: a.example\r\n\r\n"), "a.example",
         NULL},
    };
    CHECK_ROWS(rows, SL_INNER_HTTP_NAME, 1);
}

TEST(requests_without_a_name)
{
    static const struct http_row rows[] = {
        {"HTTP/1.0 without Host", BYTES("GET / HTTP/1.0\r\n\r\n"), NULL, NULL},
        {"HTTP/1.1 without Host", BYTES("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"), NULL, NULL},
        {"an empty Host", BYTES("GET / HTTP/1.1\r\nHost: \r\n\r\n"), NULL, NULL},
    };
    CHECK_ROWS(rows, SL_INNER_HTTP_NONE, 1);
}

TEST(requests_that_are_malformed)
{
    static const struct http_row rows[] = {
        {"two Hosts", BYTES("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n"), NULL, NULL},
        {"one Host twice", BYTES("GET / HTTP/1.1\r\nHost: a.example\r\nhost: a.example\r\n\r\n"), NULL, NULL},
        {"an empty Host and another", BYTES("GET / HTTP/1.1\r\nHost:\r\nHost: a.example\r\n\r\n"), NULL, NULL},
        {"Host is a list", BYTES("GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n"), NULL, NULL},
        {"Host with user information", BYTES("GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n"), NULL, NULL},
        {"Host with a percent sign", BYTES("GET / HTTP/1.1\r\nHost: a%2eexample\r\n\r\n"), NULL, NULL},
        {"Host with a path", BYTES("GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n"), NULL, NULL},
        {"Host with a bad port", BYTES("GET / HTTP/1.1\r\nHost: a.example:8o\r\n\r\n"), NULL, NULL},
        {"Host with a port too large", BYTES("GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n"), NULL, NULL},
        {"Host with a port that overflows", BYTES("GET / HTTP/1.1\r\nHost: a.example:99999999999999999999\r\n\r\n"),
         NULL, NULL},
        {"Host with two ports", BYTES("GET / HTTP/1.1\r\nHost: a.example:80:80\r\n\r\n"), NULL, NULL},
        {"Host is only a port", BYTES("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), NULL, NULL},
        {"Host is IPv6 without brackets", BYTES("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), NULL, NULL},
        {"Host in brackets that do not close", BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), NULL, NULL},
        {"a name in brackets", BYTES("GET / HTTP/1.1\r\nHost: [a.example]\r\n\r\n"), NULL, NULL},
        {"IPv4 in brackets", BYTES("GET / HTTP/1.1\r\nHost: [192.0.2.1]\r\n\r\n"), NULL, NULL},
        {"an IPv6 zone", BYTES("GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"), NULL, NULL},
        {"something behind the brackets", BYTES("GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"), NULL, NULL},
        {"an address not in canonical form", BYTES("GET / HTTP/1.1\r\nHost: 192.0.2.01\r\n\r\n"), NULL, NULL},
        {"a number for a name", BYTES("GET / HTTP/1.1\r\nHost: 3221225985\r\n\r\n"), NULL, NULL},
        {"absolute form, another Host", BYTES("GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n"), NULL, NULL},
        {"absolute form, an empty Host", BYTES("GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n"), NULL, NULL},
        {"absolute form, Host with another port",
         BYTES("GET http://a.example:80/ HTTP/1.1\r\nHost: a.example:81\r\n\r\n"), NULL, NULL},
        {"absolute form, Host another address", BYTES("GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.2\r\n\r\n"),
         NULL, NULL},
        {"absolute form, Host an address", BYTES("GET http://a.example/ HTTP/1.1\r\nHost: 192.0.2.2\r\n\r\n"), NULL,
         NULL},
        {"absolute form with user information", BYTES("GET http://u:p@a.example/ HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"absolute form without a host", BYTES("GET http:///x HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a scheme that begins with a digit", BYTES("GET 1a://a.example HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a scheme and nothing", BYTES("GET http HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a scheme without slashes", BYTES("GET mailto:a HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"authority form without CONNECT", BYTES("GET a.example:80 HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"asterisk form without OPTIONS", BYTES("GET * HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"CONNECT without a port", BYTES("CONNECT a.example HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"CONNECT to port 0", BYTES("CONNECT a.example:0 HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"CONNECT in origin form", BYTES("CONNECT / HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"CONNECT, another Host", BYTES("CONNECT a.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n"), NULL, NULL},
        {"a bare line feed behind the line", BYTES("GET / HTTP/1.1\nHost: a.example\r\n\r\n"), NULL, NULL},
        {"a bare line feed behind a field", BYTES("GET / HTTP/1.1\r\nHost: a.example\n\r\n"), NULL, NULL},
        {"a bare line feed at the end", BYTES("GET / HTTP/1.1\r\nHost: a.example\r\n\n"), NULL, NULL},
        {"a bare CR in a value", BYTES("GET / HTTP/1.1\r\nX: a\rHost: a.example\r\n\r\n"), NULL, NULL},
        {"a bare CR at the end", BYTES("GET / HTTP/1.1\r\nHost: a.example\r\n\rx"), NULL, NULL},
        {"a bare CR in the line", BYTES("GET /\r HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a folded value", BYTES("GET / HTTP/1.1\r\nHost: a.example\r\n b.example\r\n\r\n"), NULL, NULL},
        {"a folded value, by a tab", BYTES("GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n"), NULL, NULL},
        {"a space ahead of the first field", BYTES("GET / HTTP/1.1\r\n Host: a.example\r\n\r\n"), NULL, NULL},
        {"a space before the colon", BYTES("GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"), NULL, NULL},
        {"no field name", BYTES("GET / HTTP/1.1\r\n: a.example\r\n\r\n"), NULL, NULL},
        {"no colon", BYTES("GET / HTTP/1.1\r\nHost\r\n\r\n"), NULL, NULL},
        {"a byte over 127 in a field name", BYTES("GET / HTTP/1.1\r\nH\xc3\xb6st: a\r\n\r\n"), NULL, NULL},
        {"NUL in a field name", BYTES("GET / HTTP/1.1\r\nHo\0st: a.example\r\n\r\n"), NULL, NULL},
        {"NUL in a value", BYTES("GET / HTTP/1.1\r\nHost: a.example\0\r\n\r\n"), NULL, NULL},
        {"DEL in a value", BYTES("GET / HTTP/1.1\r\nX: \x7f\r\n\r\n"), NULL, NULL},
        {"NUL in the target", BYTES("GET /\0 HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"NUL behind the version", BYTES("a / HTTP/1.1\0\r\n\r\n"), NULL, NULL},
        {"two spaces", BYTES("GET  / HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"two spaces before the version", BYTES("GET /  HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a tab", BYTES("GET\t/ HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a form feed", BYTES("GET\f/\vHTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a space ahead", BYTES(" GET / HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a space behind", BYTES("GET / HTTP/1.1 \r\n\r\n"), NULL, NULL},
        {"a word behind", BYTES("GET / HTTP/1.1 x\r\n\r\n"), NULL, NULL},
        {"letters ahead of a bare line feed", BYTES("GET / HTTP/1.1x\n\r\n"), NULL, NULL},
        {"small letters and vertical tabs", BYTES("get\v/\vHTTP/1.1\r\n\r\n"), NULL, NULL},
        {"an asterisk and more", BYTES("OPTIONS *x HTTP/1.1\r\nHost: a.example\r\n\r\n"), NULL, NULL},
        {"a space in the target", BYTES("GET /a b HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"no target", BYTES("GET HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"an empty target", BYTES("GET  HTTP/1.1\r\n\r\n"), NULL, NULL},
        {"a version in small letters", BYTES("GET / http/1.1\r\n\r\n"), NULL, NULL},
        {"another major version", BYTES("GET / HTTP/2.0\r\n\r\n"), NULL, NULL},
        {"a version with two digits", BYTES("GET / HTTP/1.10\r\n\r\n"), NULL, NULL},
        {"a version without a digit", BYTES("GET / HTTP/1.x\r\n\r\n"), NULL, NULL},
        {"a version cut short", BYTES("GET / HTTP/\r\n\r\n"), NULL, NULL},
        {"HTTP/0.9", BYTES("GET /\r\n"), NULL, NULL},
        {"HTTP/0.9 by a URL", BYTES("GET http://b.example/\r\n"), NULL, NULL},
        {"nearly the HTTP/2 preface", BYTES("PRI * HTTP/2.0 \r\n"), NULL, NULL},
    };
    CHECK_ROWS(rows, SL_INNER_MALFORMED, 0);
}

/* Told as soon as it is sure: the whole row is needed, its last byte decides. */
TEST(what_is_not_http)
{
    static const struct http_row rows[] = {
        {"an SSH banner", BYTES("SSH-2.0-OpenSSH_9.2p1\r\n"), NULL, NULL},
        {"an SSH banner with a comment", BYTES("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), NULL, NULL},
        {"a PostgreSQL startup packet", BYTES("\0\0\0\x13"), NULL, NULL},
        {"a mail", BYTES("DATA client.example\r\n"), NULL, NULL},
        {"IMAP", BYTES("a1 LOGIN u"), NULL, NULL},
        {"Redis", BYTES("*1\r\n"), NULL, NULL},
        {"Redis, inline", BYTES("GET key\r\n"), NULL, NULL},
        {"NATS", BYTES("CONNECT {"), NULL, NULL},
        {"STOMP", BYTES("CONNECT\n"), NULL, NULL},
        {"AMQP", BYTES("AMQP\0"), NULL, NULL},
        {"LDAP", BYTES("0\x0c\x02"), NULL, NULL},
        {"RTSP", BYTES("OPTIONS rtsp://a.example RTSP/1.0\r\n"), NULL, NULL},
        {"git", BYTES("0033git-upload-pack /p.git\0"), NULL, NULL},
        {"a method alone", BYTES("GET\r\n"), NULL, NULL},
        {"no token to begin with", BYTES("{"), NULL, NULL},
        {"a blank and no token", BYTES(" {"), NULL, NULL},
        {"a word that is not a token", BYTES("a/"), NULL, NULL},
        {"a byte over 127 in the first word", BYTES("GE\xc3"), NULL, NULL},
        {"a response", BYTES("HTTP/"), NULL, NULL},
        {"binary after a short word", BYTES("A \x01"), NULL, NULL},
        {"binary after small letters", BYTES("abc \x7f"), NULL, NULL},
    };
    CHECK_ROWS(rows, SL_INNER_OTHER, 1);
}

TEST(every_method_is_a_token)
{
    static const struct expectation name = {.status = SL_INNER_HTTP_NAME, .name = "a.example"};
    static const struct expectation other = {.status = SL_INNER_OTHER};
    for (unsigned byte = 0; byte < 256; byte++) {
        char request[] = "x? / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        int blank = byte == ' ' || (byte >= '\t' && byte <= '\r'); /* a word shorter: another row */
        int letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        int token = letter || (byte && strchr("!#$%&'*+-.^_`|~0123456789", (int)byte));
        if (blank) continue;
        request[1] = (char)byte;
        check_vector((const uint8_t *)request, strlen(request + 2) + 2, token ? &name : &other, request);
    }
}
