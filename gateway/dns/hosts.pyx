"""Names from a hosts(5) file, read again when it changes; parsed in slices, so that a long file delays no request.

It knows no DNS, and no names but those the file holds. A file that is missing or unreadable is an empty one.
"""

import os
import stat

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memset

from gateway.c.addr cimport sl_addr, sl_addr_parse
from gateway.c.name cimport SL_NAME_BUFFER, SL_NAME_OK, sl_name_canonical

cdef enum:
    CHECK_EVERY = 1000         # milliseconds between looks at the file's times
    MAX_BYTES = 4194304        # the rest is not read
    MAX_OF_NAME = 32           # addresses of one name
    SLICE = 200                # lines in one go


cdef bytes joined(bytes records, bytes record):
    """`records` with one more: IPv6 in front, none twice."""
    cdef Py_ssize_t size = sizeof(sl_addr), at, length = PyBytes_GET_SIZE(records)
    cdef const char *packed = PyBytes_AS_STRING(records)
    if length >= MAX_OF_NAME * size:
        return records
    at = 0
    while at < length:
        if memcmp(packed + at, PyBytes_AS_STRING(record), size) == 0:
            return records
        at += size
    if (<const sl_addr *> PyBytes_AS_STRING(record)).family == 4:
        return records + record
    at = 0
    while at < length and (<const sl_addr *> (packed + at)).family == 6:
        at += size
    return records[:at] + record + records[at:]


cdef class HostsFile(Handler):
    """The names of one file. The first reading is done at once, later ones a slice each turn."""

    def __init__(self, Loop loop, path):
        self.loop = loop
        self.path = path
        self.names = {}
        self._look()
        while self.text is not None:
            self._parse_slice()

    cdef bytes find(self, bytes name):
        """The addresses of a canonical name as packed sl_addr records, or None."""
        if self.text is None and self.loop.now - self.checked >= CHECK_EVERY:
            self._look()
            if self.text is not None:
                self.loop.later(self)
        return self.names.get(name)

    cdef void on_turn(self) noexcept:
        self._parse_slice()
        if self.text is not None:
            self.loop.later(self)

    cdef void close(self) noexcept:
        # An error in one slice is counted by the loop; the names that were known stay.
        self.text = None

    def _look(self):
        """Reads the file when it is not the one read last."""
        self.checked = self.loop.now
        try:
            about = os.stat(self.path)
            stamp = (about.st_mtime_ns, about.st_size, about.st_ino)
            if stamp == self.stamp:
                return
            if not stat.S_ISREG(about.st_mode):
                raise OSError("not a file")
            with open(self.path, "rb") as file:
                text = file.read(MAX_BYTES)
            # A line that was cut would give half a name.
            self.text = text if len(text) < MAX_BYTES else text[:text.rfind(b"\n") + 1]
            # Of before the reading: what was written meanwhile is read again.
            self.stamp = stamp
        except OSError:
            self.text, self.stamp = b"", None
        self.at, self.fresh = 0, {}

    def _parse_slice(self):
        cdef int _
        cdef Py_ssize_t end
        for _ in range(SLICE):
            end = self.text.find(b"\n", self.at)
            if end < 0:
                self._parse(self.text[self.at:])
                self.names, self.fresh, self.text = self.fresh, None, None
                return
            self._parse(self.text[self.at:end])
            self.at = end + 1

    def _parse(self, bytes line):
        """One line: an address, then names; what is neither is passed over, as libc does."""
        cdef sl_addr address, ignored
        cdef char canonical[SL_NAME_BUFFER]
        cdef size_t length
        cdef bytes word, name
        words = line.split(b"#", 1)[0].split()
        if len(words) < 2:
            return
        word = words[0]
        memset(&address, 0, sizeof(address))
        if not sl_addr_parse(PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word), &address):
            return
        record = (<char *> &address)[:sizeof(address)]
        for word in words[1:]:
            if sl_name_canonical(<uint8_t *> PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word), canonical, &length,
                                 &ignored) == SL_NAME_OK:
                name = canonical[:length]
                self.fresh[name] = joined(self.fresh.get(name, b""), record)
