"""Credentials that the gateway sets in requests (DECISIONS.md section 7). See credentials.pxd.

A value comes over the channel in a memfd and is read into memory of its own: no Python object ever holds it. That
memory is left out of core files, is not inherited, stays out of swap where the limit of locked memory lets it, and is
wiped when another value takes its place.
"""

cimport cython
from libc.stdint cimport uint8_t

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef extern from "unistd.h" nogil:
    ssize_t pread(int fd, void *at, size_t length, long offset)

cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        MAP_PRIVATE
        MAP_ANONYMOUS
        MADV_DONTDUMP
        MADV_DONTFORK
    void *MAP_FAILED
    void *mmap(void *at, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *at, size_t length)
    int madvise(void *at, size_t length, int advice)
    int mlock(const void *at, size_t length)

cdef enum:
    PAGE = 4096                # bytes; a mapping is a multiple, and larger pages round up themselves


cdef SecretValue value_of(int fd, size_t offset, size_t length):
    """The bytes of a descriptor. Raises OSError where they are not there, MemoryError."""
    cdef SecretValue made = SecretValue.__new__(SecretValue)
    cdef size_t room = (length + PAGE - 1) // PAGE * PAGE
    cdef void *memory
    cdef ssize_t got
    if length == 0:
        raise OSError("an empty value")
    memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if memory == MAP_FAILED:
        raise MemoryError
    made.memory, made.room = <uint8_t *> memory, room
    if madvise(memory, room, MADV_DONTDUMP) != 0 or madvise(memory, room, MADV_DONTFORK) != 0:
        raise OSError("memory that core files leave out is not to be had")
    mlock(memory, room)
    while made.length < length:
        got = pread(fd, made.memory + made.length, length - made.length, <long> (offset + made.length))
        if got <= 0:
            raise OSError("a value is cut off")
        made.length += <size_t> got
    return made


@cython.final
cdef class SecretValue:
    """Made by value_of()."""

    def __dealloc__(self):
        if self.memory is not NULL:
            explicit_bzero(self.memory, self.room)
            munmap(self.memory, self.room)


@cython.final
cdef class Credential:
    """`given`: a CredentialSettings."""

    def __init__(self, given):
        self.name, self.number, self.insecure = given["name"], given["number"], given["insecure"]
        self.hosts = frozenset([host.encode() for host in given["hosts"] if not host.startswith("*")])
        self.suffixes = [host[1:].encode() for host in given["hosts"] if host.startswith("*")]

    cdef bint is_for(self, bytes name) noexcept:
        cdef bytes suffix
        if name is None:
            return False
        if name is self.last:
            return True
        if name in self.hosts:
            self.last = name
            return True
        for suffix in self.suffixes:
            if name.endswith(suffix) and len(name) > len(suffix):
                self.last = name
                return True
        return False


@cython.final
cdef class Credentials:
    """All of a worker."""

    def __init__(self):
        self.values, self.known = {}, {}

    def take(self, list entries, int fd):
        """Values that came over the channel: (number, length) each, one behind the other in `fd`; length 0: it cannot
        be used any more. Raises OSError or MemoryError, and none of them can be used."""
        cdef size_t offset = 0, length
        for number, _ in entries:
            self.values[number] = None
        try:
            for number, size in entries:
                length = size
                if length:
                    self.values[number] = value_of(fd, offset, length)
                    offset += length
        finally:
            self.bind()

    cdef void bind(self):
        """Gives each credential the value that it has now."""
        cdef Credential credential
        self.complete = True
        for credential in self.known.values():
            credential.value = self.values.get(credential.number)
            if credential.value is None:
                self.complete = False

    def forget(self):
        """Values of a generation that does not become active after all."""
        cdef set wanted = {credential.number for credential in self.known.values()}
        self.values = {number: value for number, value in self.values.items() if number in wanted}

    cdef Credential find(self, str name):
        return self.known.get(name)

    cdef void settle(self, list wanted):
        cdef Credential credential
        self.known = {given["name"]: Credential(given) for given in wanted}
        self.values = {credential.number: self.values.get(credential.number) for credential in self.known.values()}
        self.bind()
