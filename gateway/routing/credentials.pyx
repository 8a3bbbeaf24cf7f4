"""Credentials in the fields of a request (DECISIONS.md section 7, "Credentials"). See credentials.pxd.

A value goes from its own memory into the head that leaves, which is wiped when it has left. It goes only over TLS whose
name was verified and is one of the credential's hosts; that is asked of the connection itself, whatever led to it. A
server may have other hosts behind one certificate: a host that a route has written into the request counts as well.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from gateway.c.contract cimport (
    SL_REASON_CREDENTIAL_CLEARTEXT, SL_REASON_CREDENTIAL_FILE, SL_REASON_CREDENTIAL_HOST,
)
from gateway.c.message cimport sl_message_at, sl_message_remove, sl_message_set_secret
from gateway.routing.route cimport SecretField
from gateway.state.credentials cimport Credential, SecretValue

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef enum:
    SMALL = 1024               # bytes of a value that needs no memory of its own


cdef list parts_of(SecretField field, Credentials known):
    """The parts of the value, with the credentials themselves: looked up once in a generation."""
    if field.among is not known.known:
        field.found = [known.find(part) if isinstance(part, str) else part for part in field.parts]
        field.among = known.known
    return field.found


cdef bytes moved_to(const sl_message *sent, const sl_message *asked):
    """The host that a route has put in place of the one that was asked for; None: it has not."""
    cdef bytes text
    if sent.authority.length == asked.authority.length and memcmp(
            sl_message_at(sent, sent.authority), sl_message_at(asked, asked.authority), sent.authority.length) == 0:
        return None
    text = sl_message_at(sent, sent.authority)[:sent.authority.length]
    return text.partition(b":")[0]


cdef str lacking(list secrets, Credentials known, RequestRecord record, const sl_message *sent, int *reason):
    cdef bint is_clear
    cdef bytes moved
    cdef SecretField field
    cdef Credential credential
    cdef list parts
    cdef Py_ssize_t i
    if sent is NULL:
        is_clear, moved = False, None
    else:
        is_clear = record.upstream_tls is None or not record.originates(&record.decision)
        moved = moved_to(sent, &record.message.head)
    for field in secrets:
        parts = parts_of(field, known)
        for i in range(len(parts)):
            if isinstance(parts[i], bytes):
                continue
            credential = parts[i]
            reason[0] = 0
            if credential is None or credential.value is None:
                reason[0] = SL_REASON_CREDENTIAL_FILE
            elif sent is not NULL and not credential.insecure:
                if is_clear:
                    reason[0] = SL_REASON_CREDENTIAL_CLEARTEXT
                elif not credential.is_for(record.upstream_tls.identity) or (
                        moved is not None and not credential.is_for(moved)):
                    reason[0] = SL_REASON_CREDENTIAL_HOST
            if reason[0]:
                return field.parts[i]
    return None


cdef bint set_secrets(sl_message *head, list secrets, Credentials known) noexcept:
    cdef SecretField field
    for field in secrets:
        if not set_field(head, field, parts_of(field, known)):
            return False
    return True


cdef bint set_field(sl_message *head, SecretField field, list parts) noexcept:
    cdef uint8_t[SMALL] small
    cdef uint8_t *text = small
    cdef size_t length = 0, used = 0
    cdef SecretValue value
    cdef bint done
    for part in parts:
        length += <size_t> PyBytes_GET_SIZE(part) if isinstance(part, bytes) else (<Credential> part).value.length
    if length > SMALL:
        text = <uint8_t *> malloc(length)
        if text is NULL:
            return False
    for part in parts:
        if isinstance(part, bytes):
            memcpy(text + used, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
            used += <size_t> PyBytes_GET_SIZE(part)
        else:
            value = (<Credential> part).value
            memcpy(text + used, value.memory, value.length)
            used += value.length
    done = sl_message_set_secret(head, PyBytes_AS_STRING(field.name), PyBytes_GET_SIZE(field.name),
                                 <const char *> text, used)
    explicit_bzero(text, length)
    if text is not small:
        free(text)
    return done


cdef void clear_trailers(Message trailers, list secrets) noexcept:
    cdef SecretField field
    if trailers is None:
        return
    for field in secrets:
        sl_message_remove(&trailers.head, PyBytes_AS_STRING(field.name), PyBytes_GET_SIZE(field.name))
