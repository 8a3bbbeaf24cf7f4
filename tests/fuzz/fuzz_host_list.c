/* Fuzzes what `hostsFrom` reads: any bytes as a list of names. The law: it is refused with its line, or the image that
 * comes of it passes the validator; and every line that stands alone as a name is then allowed. */
#include <stdlib.h>
#include <string.h>

#include "build/builder.h"
#include "policy/decide.h"
#include "policy/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition) abort();
}

static uint32_t attachment_of(struct sl_builder *b)
{
    struct sl_rule rule = {.tier = SL_TIER_ALLOW};
    uint32_t principal, selector, who, id, attachment;

    require(sl_builder_principal(b, SL_PRINCIPAL_MESH, "", "", 0, &principal) == SL_BUILD_OK);
    require(sl_builder_selector(b, principal, NULL, 0, &selector) == SL_BUILD_OK);
    require(sl_builder_rule(b, &rule, &id) == SL_BUILD_OK);
    require(sl_builder_who(b, &selector, 1, &who) == SL_BUILD_OK);
    require(sl_builder_attach(b, id, SL_TIER_ALLOW, 0, 0, who, &attachment) == SL_BUILD_OK);
    return attachment;
}

static unsigned verdict(const struct sl_image *image, const char *name, size_t length)
{
    struct sl_source_key key = {.user = NULL};
    struct sl_source source;
    struct sl_decision out;
    struct sl_trail trail = {.count = 0};

    require(sl_addr_parse("192.0.2.1", 9, &key.addr));
    sl_source_resolve(image, &key, &source);
    struct sl_asked asked = {.image = image, .source = &source, .port = 443};
    sl_decide_name(&asked, name, length, &out, &trail);
    return out.verdict;
}

/* Every line that a client could ask for as it stands. */
static void ask_lines(const struct sl_image *image, const uint8_t *data, size_t size)
{
    char name[SL_NAME_BUFFER];

    for (const uint8_t *at = data, *end = data + size; at < end;) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        struct sl_addr address;
        size_t length;
        if (sl_name_canonical(at, (size_t)(stop - at), name, &length, &address) == SL_NAME_OK)
            require(verdict(image, name, length) == SL_ALLOW);
        at = newline ? newline + 1 : end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_builder *b = sl_builder_new();
    uint64_t names, line;
    enum sl_name_status why;
    uint8_t *image_data;
    size_t image_size;
    struct sl_image image;
    char where[64];

    require(b != NULL);
    enum sl_build_status status = sl_builder_host_list(b, attachment_of(b), data, size, &names, &line, &why);
    if (status == SL_BUILD_OK) {
        require(sl_builder_finish(b, &image_data, &image_size) == SL_BUILD_OK);
        require(sl_image_validate(image_data, image_size, &image, where) == SL_IMAGE_OK);
        ask_lines(&image, data, size);
        free(image_data);
    } else {
        require(status == SL_BUILD_BAD_NAME && line > 0 && why != SL_NAME_OK);
    }
    sl_builder_free(b);
    return 0;
}
