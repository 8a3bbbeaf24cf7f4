# One HTTP request that is no CONNECT of the classic form: its destination and its credentials, read from a message.
from libc.stdint cimport uint8_t, uint16_t

from gateway.c.message cimport sl_message
from gateway.proto.codec cimport Codec
from gateway.proto.message cimport Message

cdef class HttpRequest(Codec):
    cdef bint secure           # the target's scheme is https: TLS towards the outside
    cdef uint16_t usual        # port where the target has none; 0: its scheme's
    cdef bint doubtful         # two readers may take its path for two
    # Reads target, Host and credentials (CONTRACT.md section 5, DECISIONS.md section 7), and puts the path into its
    # normal form. Answers a CodecStatus: REQUEST, CREDENTIALS, or FAILED with outcome and detail.
    cdef int take(self, Message message) noexcept

    cdef int read(self, sl_message *head) except -1
    cdef bint set_authority(self, const uint8_t *text, size_t length, uint16_t usual) noexcept
    cdef bint write_authority(self, sl_message *head) except -1
    cdef bint normalise(self, sl_message *head) except -1
    cdef bint read_credentials(self, sl_message *head) except -1
