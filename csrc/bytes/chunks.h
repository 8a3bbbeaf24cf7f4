/* Content in chunks (RFC 9112 section 7.1), read in whatever pieces it comes. Sizes are at most 16 hexadecimal digits,
 * extensions are let go up to 256 bytes a chunk; a bare LF, a bare CR, space before a size and anything but CRLF behind
 * a chunk's bytes are broken. */
#ifndef SLUICE_CHUNKS_H
#define SLUICE_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

/* All zero: before the first chunk. */
struct sl_chunks {
    uint64_t left;     /* bytes of this chunk that are to come */
    uint8_t state;     /* the reader's */
    uint16_t extra;    /* bytes of extensions of this chunk */
    const char *fault; /* static text, for BROKEN */
};

enum sl_chunks_status {
    SL_CHUNKS_BROKEN = 0,
    SL_CHUNKS_MORE,     /* all bytes are used up */
    SL_CHUNKS_DATA,     /* `*size` bytes of content at data + *at; call again with what is behind them */
    SL_CHUNKS_TRAILERS, /* the last chunk was read: trailers follow, or an empty line (sl_message_read_trailers) */
};

/* Reads on from `data`. *used: bytes that are done with, those of the content included. */
enum sl_chunks_status sl_chunks_read(struct sl_chunks *chunks, const uint8_t *data, size_t length, size_t *at,
                                     size_t *size, size_t *used);

/* The line before a chunk of `size` bytes; returns its length, at most 18. "\r\n" follows the bytes. */
enum { SL_CHUNK_LINE_MOST = 18 };
size_t sl_chunk_line(uint8_t out[SL_CHUNK_LINE_MOST], uint64_t size);

#endif
