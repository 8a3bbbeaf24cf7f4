"""Looks names up in a policy image many times, for benchmarks."""

from time import perf_counter

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport uint16_t
from libc.string cimport memset

from gateway.c.addr cimport sl_addr_parse
from gateway.c.contract cimport SL_ALLOW, SL_PHASE_NAME
from gateway.c.judge cimport sl_decision, sl_judge, sl_question, sl_source
from gateway.policy.image cimport PolicyImage
from gateway.policy.target cimport HttpRequest


def time_lookups(PolicyImage image not None, names, uint16_t port):
    """Seconds that the name phase takes for canonical `names` (bytes), and how many are allowed.

    Each is a request of its own: its source is resolved first, by its address.
    """
    cdef sl_source source
    cdef sl_question question
    cdef sl_decision decision
    cdef list texts = list(names)
    cdef bytes text
    cdef Py_ssize_t allowed = 0
    memset(&question, 0, sizeof(question))
    question.source, question.port = &source, port
    sl_addr_parse(b"10.1.2.3", 8, &question.who.addr)
    began = perf_counter()
    for text in texts:
        question.host, question.host_length, question.resolved = text, PyBytes_GET_SIZE(text), False
        sl_judge(&image.image, &question, SL_PHASE_NAME, NULL, &decision, NULL)
        allowed += decision.verdict == SL_ALLOW
    return perf_counter() - began, allowed


def time_requests(PolicyImage image not None, bytes host not None, requests, uint16_t port):
    """Seconds that the name phase takes for HttpRequests to one host, and how many are allowed."""
    cdef sl_source source
    cdef sl_question question
    cdef sl_decision decision
    cdef HttpRequest request
    cdef list asked = list(requests)
    cdef Py_ssize_t allowed = 0
    memset(&question, 0, sizeof(question))
    question.source, question.port = &source, port
    question.host, question.host_length = host, PyBytes_GET_SIZE(host)
    sl_addr_parse(b"10.1.2.3", 8, &question.who.addr)
    began = perf_counter()
    for request in asked:
        question.request, question.resolved = &request.request, False
        sl_judge(&image.image, &question, SL_PHASE_NAME, NULL, &decision, NULL)
        allowed += decision.verdict == SL_ALLOW
    return perf_counter() - began, allowed
