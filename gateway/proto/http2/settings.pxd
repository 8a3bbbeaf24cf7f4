# SETTINGS (RFC 9113 section 6.5): the values one side has declared, and how a frame changes them.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum SettingId:
    SETTING_HEADER_TABLE_SIZE = 1
    SETTING_ENABLE_PUSH = 2
    SETTING_MAX_CONCURRENT_STREAMS = 3
    SETTING_INITIAL_WINDOW_SIZE = 4
    SETTING_MAX_FRAME_SIZE = 5
    SETTING_MAX_HEADER_LIST_SIZE = 6
    SETTING_ENABLE_CONNECT_PROTOCOL = 8

cdef enum:
    WINDOW_FIRST = 65535       # of streams and of the connection until SETTINGS changes it (section 6.9.2)
    WINDOW_MAX = 0x7FFFFFFF

cdef struct Settings:
    uint32_t table             # HEADER_TABLE_SIZE
    uint32_t streams           # MAX_CONCURRENT_STREAMS
    uint32_t window            # INITIAL_WINDOW_SIZE
    uint32_t frame             # MAX_FRAME_SIZE
    uint32_t least_table       # smallest HEADER_TABLE_SIZE of the frame read last (RFC 7541 section 4.2)

cdef void settings_begin(Settings *settings) noexcept nogil
# Reads a payload. 0, or the ErrorCode of a value that cannot be; *detail says which. Unknown settings are ignored.
cdef int settings_read(Settings *settings, const uint8_t *payload, size_t length, bint from_server,
                       const char **detail) noexcept nogil
# One entry, 6 bytes.
cdef void settings_write(uint8_t *at, int identifier, uint32_t value) noexcept nogil
