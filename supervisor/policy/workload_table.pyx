"""The table of workloads as it is written: a thin face of csrc/shared/workloads.h. Which pod has an address is decided
before."""

import fcntl
import os

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from gateway.c.addr cimport sl_addr_parse, sl_prefix, sl_prefix_parse
from gateway.c.workloads cimport (
    SL_WORKLOAD_SELECTORS, SL_WORKLOAD_TEXT_COUNT, SL_WORKLOADS_MOST, SL_WORKLOADS_NETWORKS, sl_workload_entry,
    sl_workload_size, sl_workloads_network, sl_workloads_prepare, sl_workloads_put, sl_workloads_size,
)

__all__ = ["MOST_ADDRESSES", "MOST_NETWORKS", "MOST_SELECTORS", "TableFull", "WorkloadTable"]

MOST_ADDRESSES = SL_WORKLOADS_MOST
MOST_NETWORKS = SL_WORKLOADS_NETWORKS
MOST_SELECTORS = SL_WORKLOAD_SELECTORS
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | 0x10 | fcntl.F_SEAL_SEAL  # 0x10: F_SEAL_FUTURE_WRITE, Linux 5.1
SPARE = 65536                  # bytes of records beyond half as many again as there are


class TableFull(Exception):
    """There is no room left: a larger table has to take its place."""


cdef class Entry:
    """One entry as C takes it; its texts and selectors live as long as the object."""
    cdef sl_workload_entry entry
    cdef list texts
    cdef uint32_t *selectors

    def __dealloc__(self):
        free(self.selectors)

    def __init__(self, record):
        address, pod, texts, selectors = record
        cdef bytes raw = address.encode("ascii")
        memset(&self.entry, 0, sizeof(self.entry))
        if not sl_addr_parse(raw, len(raw), &self.entry.addr):
            raise ValueError(f"{address!r} is not an IP address")
        self.entry.pod = pod
        self.texts = [text.encode() for text in texts]
        if len(self.texts) != SL_WORKLOAD_TEXT_COUNT or any(b"\0" in text for text in self.texts):
            raise ValueError("not the texts of a workload")
        for number in range(SL_WORKLOAD_TEXT_COUNT):
            self.entry.texts[<int> number] = <bytes> self.texts[number]
        self.selectors = <uint32_t *> malloc((len(selectors) or 1) * sizeof(uint32_t))
        if self.selectors is NULL:
            raise MemoryError
        for number, selector in enumerate(selectors):
            self.selectors[<int> number] = selector
        self.entry.selectors, self.entry.selector_count = self.selectors, <uint32_t> len(selectors)


cdef class WorkloadTable:
    """A table of `records` and address blocks of pods, in a memfd that gives readers nothing but read-only mappings.

    A record is (address, mark of the pod, (namespace, service account, pod, kind of its owner, owner), selectors): the
    mark is 64 bits, 0 for an address that belongs to no pod from now on. Raises TableFull for more than there can be.
    """
    cdef readonly int fd
    cdef void *mapping
    cdef size_t size

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.mapping is not NULL:
            munmap(self.mapping, self.size)
        if self.fd >= 0:
            os.close(self.fd)

    def __init__(self, records, networks):
        cdef list entries = [Entry(record) for record in records]
        cdef size_t bytes_needed = 0
        cdef uint32_t addresses = <uint32_t> min(len(entries) + len(entries) // 2 + 16, MOST_ADDRESSES)
        cdef Entry entry
        for entry in entries:
            bytes_needed += sl_workload_size(&entry.entry)
        bytes_needed += bytes_needed // 2 + SPARE
        self.size = sl_workloads_size(addresses, <uint32_t> len(networks), bytes_needed)
        if self.size == 0:
            raise TableFull
        self.fd = os.memfd_create("sluice-workloads", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, self.size)
        self.mapping = mmap(NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED, self.fd, 0)
        if self.mapping == MAP_FAILED:
            self.mapping = NULL
            raise OSError("the table of workloads cannot be mapped")
        sl_workloads_prepare(self.mapping, self.size, addresses, <uint32_t> len(networks), bytes_needed)
        for network in networks:
            self.network(network)
        for entry in entries:
            if not sl_workloads_put(self.mapping, &entry.entry):
                raise TableFull
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, SEALS)

    cdef int network(self, str cidr) except -1:
        cdef sl_prefix block
        cdef bytes raw = cidr.encode("ascii")
        if sl_prefix_parse(raw, len(raw), &block) != 1:
            raise ValueError(f"{cidr!r} is not an address block")
        if not sl_workloads_network(self.mapping, &block):
            raise TableFull
        return 0

    def put(self, record):
        """Another record for an address, seen by readers at once. Raises TableFull."""
        cdef Entry entry = Entry(record)
        if not sl_workloads_put(self.mapping, &entry.entry):
            raise TableFull

    def detach(self):
        """The descriptor, which its holder closes from here on; the table stays as it is now."""
        fd, self.fd = self.fd, -1
        return fd
