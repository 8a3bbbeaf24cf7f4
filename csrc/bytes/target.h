/* Request targets in normal form (RFC 3986 section 6.2.2): what policy judges and what is sent, and what conditions of
 * rules are compiled with. Also the first parameter of a name in a query. Allocates nothing. */
#ifndef SLUICE_TARGET_H
#define SLUICE_TARGET_H

#include <stddef.h>
#include <stdint.h>

enum sl_target_status {
    SL_TARGET_INTERNAL = 0,
    SL_TARGET_OK = 1,
    SL_TARGET_NO_SLASH,    /* it does not begin with "/" */
    SL_TARGET_BAD_BYTE,    /* a control byte, a space, "?" or "#" */
    SL_TARGET_BAD_ESCAPE,  /* "%" without two hexadecimal digits */
    SL_TARGET_DOT_SEGMENT, /* "." or "..", however they are written */
    SL_TARGET_TOO_LONG,    /* the normal form does not fit */
};

/* Normalises the path of a target (without its query) into `out`, which has room for `room` bytes; three for each of
 * `length` always do. *out_length is set on SL_TARGET_OK.
 * Unreserved characters are decoded, other escapes get capital digits, and bytes that no path may hold are escaped. An
 * empty path, as of an absolute URI, is "/".
 * *doubtful: two readers may take it for two paths. It has an empty segment before the last, "\", "%2F", "%5C", "%00", or
 * a dot segment with parameters ("..;"). */
enum sl_target_status sl_path_normal(const uint8_t *path, size_t length, char *out, size_t room, size_t *out_length,
                                     int *doubtful);

const char *sl_target_status_text(enum sl_target_status status);

/* The value of one parameter of a query, read byte by byte. */
struct sl_query_value {
    const uint8_t *at, *end;
};

/* Finds the first parameter called `name` (decoded) in a query without its "?": NAME=VALUE or NAME, between "&".
 * Returns 1 and sets *value; 0: there is none. */
int sl_query_find(const uint8_t *query, size_t length, const char *name, size_t name_length,
                  struct sl_query_value *value);

/* The value's next byte, decoded: "+" is a space, "%" without two digits stands for itself. -1 at its end. */
int sl_query_next(struct sl_query_value *value);

#endif
