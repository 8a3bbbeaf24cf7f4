/* What rules ask of a request. */
#include "policy/request.h"

#include <string.h>

#include "bytes/target.h"
#include "policy/regex.h"
#include "policy/seed.h"

static int is_text(const struct sl_text *text, const char *wanted, size_t length)
{
    return text->length == length && (length == 0 || memcmp(text->at, wanted, length) == 0);
}

/* `/v1` is also the prefix of `/v1/` and `/v1/a`, never of `/v1a`. */
static int has_prefix(const struct sl_text *path, const char *prefix, size_t length)
{
    if (length == 1) return path->length > 0; /* "/" */
    if (path->length < length || memcmp(path->at, prefix, length) != 0) return 0;
    return path->length == length || path->at[length] == '/' || SL_BUG(ELEMENT);
}

/* The path and, behind "?", the query, in one walk. */
static int is_found(const struct sl_image *image, uint32_t regex, const struct sl_request *request, int *broken)
{
    struct sl_regex_walk walk;
    int going = sl_regex_begin(image, regex, &walk, broken), begun = going;
    for (size_t i = 0; going && i < request->path.length; i++)
        going = sl_regex_step(&walk, (uint8_t)request->path.at[i], broken);
    if (going && request->query.at) going = sl_regex_step(&walk, '?', broken);
    for (size_t i = 0; going && i < request->query.length; i++)
        going = sl_regex_step(&walk, (uint8_t)request->query.at[i], broken);
    return begun && sl_regex_accepts(&walk);
}

static int same_name(const struct sl_text *name, const char *lower, size_t length)
{
    if (name->length != length) return 0;
    for (size_t i = 0; i < length; i++) {
        char byte = name->at[i];
        if ((byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte) != lower[i]) return 0;
    }
    return 1;
}

/* The first field of the name, or NULL. */
static const struct sl_text *field_of(const struct sl_request *request, const char *name)
{
    const struct sl_text *found = NULL;
    size_t length = strlen(name);
    for (size_t i = 0; i < request->field_count && (!found || SL_BUG(FIRST_FIELD)); i++)
        if (same_name(&request->fields[i].name, name, length)) found = &request->fields[i].value;
    return found;
}

static int parameter_holds(const struct sl_image *image, const struct sl_literal *literal, const char *name,
                           const char *text, const struct sl_request *request, int *broken)
{
    struct sl_query_value value;
    struct sl_regex_walk walk;
    int found = sl_query_find((const uint8_t *)request->query.at, request->query.length, name, strlen(name), &value);
    if (!found) return 0;
    if (!literal->regex) {
        for (; *text; text++)
            if (sl_query_next(&value) != (uint8_t)*text) return 0;
        return sl_query_next(&value) < 0;
    }
    int begun = sl_regex_begin(image, literal->regex, &walk, broken), going = begun;
    for (int byte; going && (byte = sl_query_next(&value)) >= 0;) going = sl_regex_step(&walk, (uint8_t)byte, broken);
    return begun && sl_regex_accepts(&walk);
}

int sl_literal_holds(const struct sl_image *image, uint32_t number, const struct sl_request *request, int *broken)
{
    const struct sl_literal *literal = number ? sl_image_record(image, SL_SEC_LITERALS, number) : NULL;
    if (!literal) {
        *broken = 1;
        return 0;
    }
    const char *text = sl_image_string(image, literal->text), *name = sl_image_string(image, literal->name);
    const struct sl_text *value;
    switch (literal->kind) {
    case SL_LITERAL_METHOD: return is_text(&request->method, text, strlen(text));
    case SL_LITERAL_PATH_EXACT: return is_text(&request->path, text, strlen(text));
    case SL_LITERAL_PATH_PREFIX: return has_prefix(&request->path, text, strlen(text));
    case SL_LITERAL_PATH_REGEX:
        return sl_regex_matches(image, literal->regex, request->path.at, request->path.length, broken);
    case SL_LITERAL_PATH_SEARCH: return is_found(image, literal->regex, request, broken);
    case SL_LITERAL_FIELD:
        value = field_of(request, name);
        if (!value) return 0;
        if (!literal->regex) return is_text(value, text, strlen(text));
        return sl_regex_matches(image, literal->regex, value->at, value->length, broken);
    case SL_LITERAL_QUERY: return parameter_holds(image, literal, name, text, request, broken);
    default: *broken = 1; return 0;
    }
}
