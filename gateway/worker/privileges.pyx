"""Privileges that a worker gives up with its sockets open: capabilities, the way to new ones, and being looked into.

Capabilities are a thread's own (capabilities(7)): `drop` comes before any other thread, ZeroMQ's among them.
"""

import os

from libc.errno cimport EINVAL, EPERM, errno
from libc.string cimport memset

cdef extern from "sys/prctl.h" nogil:
    int prctl(int option, unsigned long, unsigned long, unsigned long, unsigned long)
    enum:
        PR_SET_DUMPABLE
        PR_SET_NO_NEW_PRIVS
        PR_CAPBSET_DROP
        PR_CAP_AMBIENT
        PR_CAP_AMBIENT_CLEAR_ALL

cdef extern from "linux/capability.h" nogil:
    struct __user_cap_header_struct:
        unsigned int version
        int pid
    struct __user_cap_data_struct:
        unsigned int effective
        unsigned int permitted
        unsigned int inheritable
    enum:
        _LINUX_CAPABILITY_VERSION_3

cdef extern from "sys/syscall.h" nogil:
    enum:
        SYS_capset

cdef extern from "unistd.h" nogil:
    long syscall(long number, ...)

cdef extern from *:
    """
    #ifdef _FORTIFY_SOURCE
    #define SL_FORTIFY _FORTIFY_SOURCE
    #else
    #define SL_FORTIFY 0
    #endif
    """
    enum:
        SL_FORTIFY

cdef enum:
    MOST_CAPABILITIES = 64     # the numbers that capset(2) takes

FORTIFY = SL_FORTIFY  # the level of _FORTIFY_SOURCE that the extensions were built with


def drop(bint dumpable=False):
    """Drops every capability for good. `dumpable`: whether debuggers and /proc may look into this process all the same.

    Raises OSError. A user without CAP_SETPCAP keeps its bounding set, of which nothing can come any more.
    """
    cdef __user_cap_header_struct header
    cdef __user_cap_data_struct data[2]
    cdef int capability
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(errno, f"PR_SET_NO_NEW_PRIVS: {os.strerror(errno)}")
    if prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 and errno != EINVAL:
        raise OSError(errno, f"PR_CAP_AMBIENT_CLEAR_ALL: {os.strerror(errno)}")
    for capability in range(MOST_CAPABILITIES):
        if prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            if errno == EINVAL or errno == EPERM:  # past the last one this kernel knows, or not allowed
                break
            raise OSError(errno, f"PR_CAPBSET_DROP: {os.strerror(errno)}")
    memset(&header, 0, sizeof(header))
    memset(data, 0, sizeof(data))
    header.version = _LINUX_CAPABILITY_VERSION_3
    if syscall(SYS_capset, &header, data) != 0:
        raise OSError(errno, f"capset: {os.strerror(errno)}")
    if not dumpable and prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(errno, f"PR_SET_DUMPABLE: {os.strerror(errno)}")
