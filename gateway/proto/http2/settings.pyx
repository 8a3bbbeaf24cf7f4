"""SETTINGS (RFC 9113 section 6.5). See settings.pxd."""

from libc.stdint cimport uint8_t, uint32_t

from gateway.proto.http2.frames cimport (
    FRAME_SIZE_FIRST, FRAME_SIZE_LAST, H2_FLOW_CONTROL_ERROR, H2_NO_ERROR, H2_PROTOCOL_ERROR, read_u32, write_u32,
)

cdef enum:
    TABLE_FIRST = 4096


cdef void settings_begin(Settings *settings) noexcept nogil:
    settings.table = settings.least_table = TABLE_FIRST
    settings.streams = 0xFFFFFFFF
    settings.window = WINDOW_FIRST
    settings.frame = FRAME_SIZE_FIRST


cdef int settings_read(Settings *settings, const uint8_t *payload, size_t length, bint from_server,
                       const char **detail) noexcept nogil:
    cdef size_t at
    cdef uint32_t value
    cdef int identifier
    settings.least_table = settings.table
    for at in range(0, length, 6):
        identifier = payload[at] << 8 | payload[at + 1]
        value = read_u32(payload + at + 2)
        if identifier == SETTING_HEADER_TABLE_SIZE:
            settings.table = value
            settings.least_table = min(settings.least_table, value)
        elif identifier == SETTING_ENABLE_PUSH:
            if value > 1 or (from_server and value):
                detail[0] = "ENABLE_PUSH is neither 0 nor 1"
                return H2_PROTOCOL_ERROR
        elif identifier == SETTING_MAX_CONCURRENT_STREAMS:
            settings.streams = value
        elif identifier == SETTING_INITIAL_WINDOW_SIZE:
            if value > WINDOW_MAX:
                detail[0] = "INITIAL_WINDOW_SIZE is above 2147483647"
                return H2_FLOW_CONTROL_ERROR
            settings.window = value
        elif identifier == SETTING_MAX_FRAME_SIZE:
            if not FRAME_SIZE_FIRST <= value <= FRAME_SIZE_LAST:
                detail[0] = "MAX_FRAME_SIZE is not between 16384 and 16777215"
                return H2_PROTOCOL_ERROR
            settings.frame = value
    return H2_NO_ERROR


cdef void settings_write(uint8_t *at, int identifier, uint32_t value) noexcept nogil:
    at[0] = 0
    at[1] = <uint8_t> identifier
    write_u32(at + 2, value)
