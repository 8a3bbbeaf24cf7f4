"""Messages and chunks of csrc/bytes as tests call them: the product does so from Cython alone."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from gateway.c.message cimport (
    SL_CHUNKS_BROKEN, SL_CHUNKS_DATA, SL_CHUNKS_TRAILERS, SL_KEEP_ALIVE, SL_MESSAGE_BROKEN, SL_MESSAGE_DONE,
    SL_MESSAGE_MORE, SL_MESSAGE_NO_MEMORY, SL_MESSAGE_TOO_LARGE, sl_chunks, sl_chunks_read, sl_chunks_status,
    sl_keep, sl_message, sl_message_at, sl_message_free, sl_message_read_request, sl_message_read_response,
    sl_message_read_trailers, sl_message_status, sl_message_strip, sl_message_write_request,
    sl_message_write_response, sl_out, sl_span,
)
STATUSES = {
    SL_MESSAGE_BROKEN: "broken", SL_MESSAGE_MORE: "more", SL_MESSAGE_DONE: "done", SL_MESSAGE_TOO_LARGE: "too_large",
    SL_MESSAGE_NO_MEMORY: "no_memory",
}
FORMS = ("origin", "absolute", "authority", "asterisk")  # by sl_message_form
FRAMINGS = ("none", "length", "chunked", "close")  # by sl_framing


cdef bytes piece(const sl_message *message, sl_span span):
    return (<const char *> sl_message_at(message, span))[:span.length]


cdef class Read:
    """A message that bytes are read into."""

    cdef sl_message head

    def __dealloc__(self):
        sl_message_free(&self.head)

    def receive(self, str what, bytes data not None, bint to_head=False):
        """(status, bytes used). `what` is "request", "response" or "trailers"; `data` may go on behind it."""
        cdef size_t used = 0, seen = 0
        cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(data)
        cdef size_t length = PyBytes_GET_SIZE(data)
        cdef sl_message_status status
        if what == "request":
            status = sl_message_read_request(&self.head, at, length, &seen, &used)
        elif what == "response":
            status = sl_message_read_response(&self.head, at, length, to_head, &seen, &used)
        else:
            status = sl_message_read_trailers(&self.head, at, length, &seen, &used)
        return STATUSES[status], used

    @property
    def fault(self):
        return self.head.fault.decode("ascii") if self.head.fault != NULL else None

    @property
    def fields(self):
        """(name, value) of each that is there."""
        cdef uint32_t i
        return [
            (piece(&self.head, self.head.fields[i].name), piece(&self.head, self.head.fields[i].value))
            for i in range(self.head.field_count)
            if not self.head.fields[i].removed
        ]

    def facts(self):
        """All that was read besides the fields."""
        cdef sl_message *head = &self.head
        return {
            "method": piece(head, head.method), "scheme": piece(head, head.scheme),
            "authority": piece(head, head.authority), "path": piece(head, head.path),
            "query": piece(head, head.query) if head.has_query else None, "host": piece(head, head.host),
            "protocol": piece(head, head.protocol), "status": head.status, "minor": head.minor,
            "form": FORMS[head.form], "framing": FRAMINGS[head.framing], "content_length": head.content_length,
            "keeps_alive": bool(head.keeps_alive), "upgrades": bool(head.upgrades),
            "continues": bool(head.continues), "takes_trailers": bool(head.takes_trailers),
        }

    def strip(self):
        """Takes out the fields of one connection."""
        sl_message_strip(&self.head)

    def write(self, str what, bint absolute=False, sl_keep keep=SL_KEEP_ALIVE):
        """The head as HTTP/1.1."""
        cdef sl_out out
        memset(&out, 0, sizeof(out))
        if what == "request":
            done = sl_message_write_request(&self.head, absolute, keep, &out)
        else:
            done = sl_message_write_response(&self.head, keep, &out)
        try:
            if not done:
                raise MemoryError
            return (<const char *> out.bytes)[:out.length]
        finally:
            free(out.bytes)


def read_chunks(bytes data not None, size_t step=0):
    """(status, content, bytes used, fault) of chunks, `step` bytes at a time (0: all at once)."""
    cdef sl_chunks chunks
    cdef sl_chunks_status status
    cdef size_t at = 0, size = 0, used = 0, done = 0, part
    memset(&chunks, 0, sizeof(chunks))
    content = []
    while True:
        part = len(data) - done
        if step and part > step:
            part = step
        status = sl_chunks_read(&chunks, <const uint8_t *> PyBytes_AS_STRING(data) + done, part, &at, &size, &used)
        if status == SL_CHUNKS_DATA:
            content.append(data[done + at:done + at + size])
        done += used
        if status == SL_CHUNKS_BROKEN:
            return "broken", b"".join(content), done, chunks.fault.decode("ascii")
        if status == SL_CHUNKS_TRAILERS:
            return "trailers", b"".join(content), done, None
        if done == <size_t> len(data):
            return "more", b"".join(content), done, None
