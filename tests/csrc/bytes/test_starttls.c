/* Dialogs ahead of TLS: the name of the ClientHello behind them, at every prefix. */
#include "inner_fixture.h"

#include "bytes/starttls.h"

static const struct hello HELLO = PLAIN_HELLO;

/* A dialog and a ClientHello behind it. Returns where that begins. */
static size_t dialog(struct bytes *out, const void *before, size_t length)
{
    struct hello hello = HELLO;
    struct bytes built;
    add_name(&hello, "inner.example");
    build(&hello, &built);
    out->length = 0;
    put(out, before, length);
    put(out, built.data, built.length);
    return length;
}

static void check_upgrade(const uint8_t *before, size_t length, const char *what)
{
    struct expectation want = {.status = SL_INNER_TLS_NAME, .name = "inner.example"};
    struct sl_inner inner;
    struct bytes bytes;
    size_t hello = dialog(&bytes, before, length);
    CHECK_AT(check_vector(bytes.data, bytes.length, &want, what) == bytes.length, what);
    for (size_t n = 1; n < bytes.length; n++) {
        CHECK_AT(read_copy(bytes.data, n, &inner) == SL_INNER_MORE, what);
        if (n >= hello) CHECK_AT(inner.dialog && inner.harmless == hello && inner.kept == hello, what);
    }
}

static void check_no_upgrade(const uint8_t *before, size_t length, const char *what)
{
    struct sl_inner inner;
    struct bytes bytes;
    dialog(&bytes, before, length);
    enum sl_inner_status status = read_copy(bytes.data, bytes.length, &inner);
    CHECK_AT(status == SL_INNER_OTHER || status == SL_INNER_MORE, what);
    if (status == SL_INNER_MORE) CHECK_AT(inner.harmless == bytes.length, what);
}

TEST(hellos_behind_a_dialog)
{
    check_upgrade(BYTES("EHLO me\r\nSTARTTLS\r\n"), "SMTP");
    check_upgrade(BYTES("ehlo me\nstarttls \n"), "SMTP, careless");
    check_upgrade(BYTES("STARTTLS\r\n"), "at once");
    check_upgrade(BYTES("EHLO me\r\nSTARTTLS\r\nNOOP\r\nSTARTTLS\r\n"), "refused once");
    check_upgrade(BYTES("a1 CAPABILITY\r\na2 STARTTLS\r\n"), "IMAP");
    check_upgrade(BYTES("1 ID (\"name\" \"x\")\r\n2 starttls\r\n"), "IMAP, an id");
    check_upgrade(BYTES(". CAPABILITY\r\n. STARTTLS\r\n"), "IMAP, a dot as tag");
    check_upgrade(BYTES("CAPA\r\nSTLS\r\n"), "POP3");
    check_upgrade(BYTES("AUTH TLS\r\n"), "FTP");
    check_upgrade(BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), "PostgreSQL");
    check_upgrade(BYTES("\0\0\0\x08\x04\xd2\x16\x30\0\0\0\x08\x04\xd2\x16\x2f"), "PostgreSQL, GSS refused");
    check_upgrade(BYTES("\x20\0\0\x01\x85\xae\xff\x19\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                  "MySQL");
}

TEST(what_asks_for_no_tls)
{
    check_no_upgrade(BYTES("EHLO me\r\nMAIL FROM:<a@b>\r\n"), "a mail in clear");
    check_no_upgrade(BYTES("EHLO me\r\nSTARTTLS now please\r\n"), "three words");
    check_no_upgrade(BYTES("EHLO me\r\nXSTARTTLS\r\n"), "another word");
    check_no_upgrade(BYTES("a1 LOGIN me secret\r\n"), "a login");
    check_no_upgrade(BYTES("\0\0\0\x08\x04\xd2\x16\x30"), "PostgreSQL, GSS alone");
    check_no_upgrade(BYTES("\0\0\0\x13\0\x03\0\0user\0me\0\0"), "PostgreSQL, startup");
    check_no_upgrade(BYTES("\x20\0\0\x01\x85\xa6\xff\x19\0\0\0\x01\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                     "MySQL without CLIENT_SSL");
}

TEST(requests_that_read_like_commands)
{
    struct expectation want = {.status = SL_INNER_HTTP_NAME, .name = "a.example"};
    check_vector(BYTES("EHLO / HTTP/1.1\r\nHost: a.example\r\n\r\n"), &want, "a method EHLO");
    check_vector(BYTES("STARTTLS / HTTP/1.1\r\nHost: a.example\r\n\r\n"), &want, "a method STARTTLS");
}

TEST(only_so_much_is_watched)
{
    struct sl_inner inner;
    struct bytes bytes;
    bytes.length = 0;
    while (bytes.length <= SL_DIALOG_MAX) put(&bytes, "NOOP\r\n", 6);
    size_t noops = bytes.length;
    CHECK(read_copy(bytes.data, SL_DIALOG_MAX, &inner) == SL_INNER_MORE && inner.dialog);
    CHECK(read_copy(bytes.data, noops, &inner) == SL_INNER_OTHER);
    put(&bytes, "STARTTLS\r\n\x16\x03\x01", 13);
    CHECK(read_copy(bytes.data, bytes.length, &inner) == SL_INNER_OTHER);
    bytes.length = 0;
    for (int i = 0; i < 600; i++) put(&bytes, "\0\0\0\x08\x04\xd2\x16\x30", 8);
    CHECK(read_copy(bytes.data, bytes.length, &inner) == SL_INNER_OTHER);
}

TEST(the_end_of_a_dialog)
{
    uint8_t data[64] = "EHLO me\r\n";
    struct sl_inner inner;
    CHECK(sl_inner_ended(data, 9, &inner) == SL_INNER_OTHER && inner.harmless == 0);
}

TEST(identifications_of_ssh)
{
    struct sl_inner inner;
    CHECK(read_copy(BYTES("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), &inner) == SL_INNER_OTHER && inner.ssh);
    CHECK(read_copy(BYTES("SSH-1.99-x\r\n"), &inner) == SL_INNER_OTHER && inner.ssh);
    CHECK(read_copy(BYTES("SSH-1.5-x\r\n"), &inner) == SL_INNER_OTHER && !inner.ssh);
    CHECK(read_copy(BYTES("SSH-2.0-x / HTTP/1.1\r\nHost: a.example\r\n\r\n"), &inner) == SL_INNER_HTTP_NAME);
    CHECK(!inner.ssh);
}

int main(void)
{
    RUN(hellos_behind_a_dialog);
    RUN(what_asks_for_no_tls);
    RUN(requests_that_read_like_commands);
    RUN(only_so_much_is_watched);
    RUN(the_end_of_a_dialog);
    RUN(identifications_of_ssh);
    return CHECK_REPORT();
}
