# csrc/bytes/message.h and chunks.h, as Cython sees them.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "bytes/message.h" nogil:
    enum:
        SL_MESSAGE_HEAD_MOST
        SL_MESSAGE_FIELDS_MOST
    struct sl_span:
        uint32_t at
        uint32_t length
    enum sl_field_name:
        SL_FIELD_OTHER
        SL_FIELD_BAGGAGE
        SL_FIELD_CONNECTION
        SL_FIELD_CONTENT_LENGTH
        SL_FIELD_CONTENT_TYPE
        SL_FIELD_COOKIE
        SL_FIELD_EXPECT
        SL_FIELD_FORWARDED
        SL_FIELD_HOST
        SL_FIELD_KEEP_ALIVE
        SL_FIELD_MAX_FORWARDS
        SL_FIELD_ORIGIN
        SL_FIELD_PROXY_AUTHENTICATE
        SL_FIELD_PROXY_AUTHORIZATION
        SL_FIELD_PROXY_CONNECTION
        SL_FIELD_TE
        SL_FIELD_TRAILER
        SL_FIELD_TRANSFER_ENCODING
        SL_FIELD_UPGRADE
        SL_FIELD_VIA
        SL_FIELD_WWW_AUTHENTICATE
    struct sl_message_field:
        sl_span name
        sl_span value
        uint8_t known
        uint8_t removed
        uint8_t secret
    enum sl_framing:
        SL_FRAMING_NONE
        SL_FRAMING_LENGTH
        SL_FRAMING_CHUNKED
        SL_FRAMING_CLOSE
    enum sl_message_form:
        SL_FORM_ORIGIN
        SL_FORM_ABSOLUTE
        SL_FORM_AUTHORITY
        SL_FORM_ASTERISK
    struct sl_message:
        uint8_t *text
        sl_message_field *fields
        uint32_t text_length
        uint32_t field_count
        sl_span method
        sl_span scheme
        sl_span authority
        sl_span path
        sl_span query
        sl_span protocol
        sl_span host
        uint64_t content_length
        uint16_t status
        uint8_t minor
        uint8_t form
        uint8_t framing
        uint8_t has_query
        uint8_t keeps_alive
        uint8_t continues
        uint8_t expects_other
        uint8_t upgrades
        uint8_t takes_trailers
        uint8_t has_length
        uint8_t host_known
        uint8_t secret
        const char *fault
    enum sl_message_status:
        SL_MESSAGE_BROKEN
        SL_MESSAGE_MORE
        SL_MESSAGE_DONE
        SL_MESSAGE_TOO_LARGE
        SL_MESSAGE_NO_MEMORY
    enum sl_keep:
        SL_KEEP_CLOSE
        SL_KEEP_ALIVE
        SL_KEEP_SAID
    struct sl_out:
        uint8_t *bytes
        size_t length
        size_t room
        uint8_t secret
    bint sl_out_room(sl_out *out, size_t bytes)
    void sl_out_clear(sl_out *out, size_t most)
    void sl_message_free(sl_message *message)
    void sl_message_clear(sl_message *message)
    sl_message_status sl_message_read_request(sl_message *message, const uint8_t *data, size_t length, size_t *seen,
                                              size_t *used)
    sl_message_status sl_message_read_response(sl_message *message, const uint8_t *data, size_t length, bint to_head,
                                               size_t *seen, size_t *used)
    sl_message_status sl_message_read_trailers(sl_message *message, const uint8_t *data, size_t length, size_t *seen,
                                               size_t *used)
    const char *sl_message_trailer_fault(const sl_message *message)
    sl_message_status sl_message_settle_request(sl_message *message, bint ends)
    sl_message_status sl_message_settle_response(sl_message *message, bint to_head, bint ends)
    int sl_message_add(sl_message *message, const char *name, size_t name_length, const char *value,
                       size_t value_length)
    bint sl_message_keep(sl_message *message, const char *text, size_t length, sl_span *out)
    int sl_message_find(const sl_message *message, sl_field_name known, uint32_t start)
    int sl_message_find_name(const sl_message *message, const char *name, size_t length, uint32_t start)
    unsigned sl_message_remove(sl_message *message, const char *name, size_t length)
    bint sl_message_set(sl_message *message, const char *name, size_t name_length, const char *value,
                        size_t value_length)
    bint sl_message_set_secret(sl_message *message, const char *name, size_t name_length, const char *value,
                               size_t value_length)
    void sl_message_strip(sl_message *message)
    bint sl_message_copy(sl_message *to, const sl_message *source)
    bint sl_message_write_request(const sl_message *message, bint absolute, sl_keep keep, sl_out *out)
    bint sl_message_write_response(const sl_message *message, sl_keep keep, sl_out *out)
    bint sl_message_write_trailers(const sl_message *message, sl_out *out)
    const char *sl_message_at(const sl_message *message, sl_span span)

cdef extern from "bytes/chunks.h" nogil:
    struct sl_chunks:
        uint64_t left
        const char *fault
    enum sl_chunks_status:
        SL_CHUNKS_BROKEN
        SL_CHUNKS_MORE
        SL_CHUNKS_DATA
        SL_CHUNKS_TRAILERS
    enum:
        SL_CHUNK_LINE_MOST
    sl_chunks_status sl_chunks_read(sl_chunks *chunks, const uint8_t *data, size_t length, size_t *at, size_t *size,
                                    size_t *used)
    size_t sl_chunk_line(uint8_t *out, uint64_t size)
