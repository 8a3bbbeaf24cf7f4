/* The rows of tests/vectors/inner/first_messages.txt: what of a client's first message passes at once. Included by
 * test_inner.c, and nowhere else. */

/* \r \n \t \\ \xNN. Returns the length, SIZE_MAX for another escape. */
static size_t unescape(const char *text, uint8_t *out)
{
    size_t length = 0;
    for (; *text && *text != '\n'; text++) {
        unsigned byte = (uint8_t)*text;
        if (*text == '\\') {
            static const char names[] = "rnt\\", values[] = "\r\n\t\\";
            const char *name = *++text ? strchr(names, *text) : NULL;
            if (name)
                byte = (uint8_t)values[name - names];
            else if (*text == 'x' && sscanf(text + 1, "%2x", &byte) == 1)
                text += 2;
            else
                return SIZE_MAX;
        }
        out[length++] = (uint8_t)byte;
    }
    return length;
}

/* The law of a prefix: MORE until the answer, whose kind never changes; of what is MORE the harmless bytes may be
 * dropped but for the kept ones, and the rest is answered alike. */
static void check_dropping(const uint8_t *data, size_t length, const char *what)
{
    struct sl_inner whole, part, rest;
    enum sl_inner_status final = read_copy(data, length, &whole), status;
    uint8_t shorter[512];
    if (length > sizeof shorter) abort();
    for (size_t n = 0; n < length; n++) {
        if (read_copy(data, n, &part) != SL_INNER_MORE) continue;
        CHECK_AT(part.kept <= part.harmless && part.harmless <= n, what);
        memcpy(shorter, data, part.kept);
        memcpy(shorter + part.kept, data + part.harmless, length - part.harmless);
        status = read_copy(shorter, length - part.harmless + part.kept, &rest);
        if (status != final) CHECK_FAIL("%s: %s without what may be dropped at %zu", what, STATUS[status], n);
        CHECK_AT(strcmp(rest.name, whole.name) == 0, what);
    }
}

static void check_message(const char *kind, const uint8_t *data, size_t length, const char *what)
{
    struct sl_inner inner;
    enum sl_inner_status status = read_copy(data, length, &inner);
    struct expectation want = {.status = status, .name = inner.name};
    size_t harmless = inner.harmless;
    if (strcmp(kind, "passes") == 0) {
        CHECK_AT(status == SL_INNER_OTHER || (status == SL_INNER_MORE && harmless == length), what);
    } else if (strcmp(kind, "held") == 0) {
        CHECK_AT(status == SL_INNER_MORE && harmless < length, what);
    } else {
        CHECK_AT(strcmp(kind, "denied") == 0, what);
        CHECK_AT(status == SL_INNER_MALFORMED, what);
    }
    check_vector(data, length, &want, what);
    check_dropping(data, length, what);
}

TEST(first_messages)
{
    char path[4096], line[1024], kind[16], what[128];
    const char *slash = strrchr(__FILE__, '/');
    unsigned rows = 0;
    snprintf(path, sizeof path, "%.*s../../vectors/inner/first_messages.txt", slash ? (int)(slash - __FILE__) + 1 : 0,
             __FILE__);
    FILE *file = fopen(path, "r");
    REQUIRE(file);
    while (fgets(line, sizeof line, file)) {
        uint8_t data[sizeof line];
        int at = 0;
        size_t length;
        if (line[0] == '#') continue;
        CHECK_AT(sscanf(line, "%15s | %127[^|]| %n", kind, what, &at) == 2 && at > 0, line);
        length = unescape(line + at, data);
        CHECK_AT(length > 0 && length < sizeof data, line);
        check_message(kind, data, length, what);
        rows++;
    }
    fclose(file);
    CHECK(rows > 100);
}

/* A word that never ends passes at any length, and what follows it is still judged. */
TEST(a_word_without_an_end)
{
    static const char rest[] = " / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    uint8_t *data = malloc(SL_INNER_MAX + sizeof rest);
    struct sl_inner inner;
    REQUIRE(data);
    for (size_t length = 1; length <= SL_INNER_MAX; length += length < 300 ? 1 : 21745) {
        memset(data, 'x', length);
        CHECK_EQ(sl_inner_read(data, length, &inner), SL_INNER_MORE);
        CHECK_EQ(inner.harmless, length);
        CHECK(inner.word && inner.kept <= 64);
        memcpy(data + inner.kept, rest, sizeof rest - 1);
        CHECK_EQ(sl_inner_read(data, inner.kept + sizeof rest - 1, &inner), SL_INNER_HTTP_NAME);
    }
    memset(data, '\n', SL_INNER_MAX);
    CHECK_EQ(sl_inner_read(data, SL_INNER_MAX, &inner), SL_INNER_MORE);
    CHECK_EQ(inner.harmless, SL_INNER_MAX);
    CHECK_EQ(inner.kept, 1);
    free(data);
}

/* Behind the last byte a head without an end is read as a lenient server reads it. */
TEST(what_has_ended)
{
    static const struct {
        const char *data;
        enum sl_inner_status status;
        const char *name;
    } rows[] = {
        {"hello", SL_INNER_OTHER, ""},
        {"HELLO 42", SL_INNER_OTHER, ""},
        {"\r\n", SL_INNER_OTHER, ""},
        {"GET /x", SL_INNER_MALFORMED, ""},
        {"GET / HTTP/1.1", SL_INNER_HTTP_NONE, ""},
        {"GET / HTTP/1.1\r\nHost: a.example", SL_INNER_HTTP_NAME, "a.example"},
        {"GET / HTTP/1.1\r\nHost: a.example\r\n", SL_INNER_HTTP_NAME, "a.example"},
        {"GET http://a.example/ HTTP/1.1\r\n", SL_INNER_HTTP_NAME, "a.example"},
        {"GET / HTTP/1.1\r\nHost: a.example\r\nX", SL_INNER_MALFORMED, ""},
        {"\x16\x03\x01\x02", SL_INNER_OTHER, ""},
        {"PRI * HTTP/2.0\r\n\r\nSM", SL_INNER_OTHER, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char data[128];
        struct sl_inner inner;
        size_t length = strlen(rows[i].data);
        memcpy(data, rows[i].data, length);
        CHECK_AT(sl_inner_ended((uint8_t *)data, length, &inner) == rows[i].status, rows[i].data);
        CHECK_STR(inner.name, rows[i].name);
    }
}
