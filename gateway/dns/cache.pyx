"""Answers that are remembered: a bounded map in order of use.

Finding, putting and evicting are O(1): the answers are a dict, and a list through themselves, the one used last in
front. What has expired is dropped when it is asked for, or when its room is needed. How long an answer holds is the
resolver's decision.
"""


cdef class Answer:
    """One name's answer until `expires`: a status, and packed sl_addr records with IPv6 first."""

    def __init__(self, bytes name, int status, bytes addresses, uint64_t expires):
        self.name = name
        self.status = status
        self.addresses = addresses
        self.expires = expires


cdef class DnsCache:
    """At most `room` answers; none when it is 0."""

    def __init__(self, Py_ssize_t room):
        self.room = room
        self.answers = {}

    def __len__(self):
        return len(self.answers)

    cpdef Answer find(self, bytes name, uint64_t now):
        """The answer for a name, or None. It counts as used."""
        cdef Answer answer = self.answers.get(name)
        if answer is None:
            return None
        self.unlink(answer)
        if answer.expires <= now:
            del self.answers[name]
            return None
        self.link(answer)
        return answer

    cpdef put(self, Answer answer, uint64_t now):
        """Remembers an answer in place of an earlier one; one that has expired already only removes it."""
        cdef Answer known = self.answers.pop(answer.name, None)
        if known is not None:
            self.unlink(known)
        if answer.expires <= now or self.room <= 0:
            return
        if len(self.answers) >= self.room:
            known = <Answer> self.oldest
            self.unlink(known)
            del self.answers[known.name]
        self.answers[answer.name] = answer
        self.link(answer)

    cdef void link(self, Answer answer) noexcept:
        """Puts an answer in front."""
        answer.newer = NULL
        answer.older = self.newest
        if self.newest is not NULL:
            (<Answer> self.newest).newer = <PyObject *> answer
        else:
            self.oldest = <PyObject *> answer
        self.newest = <PyObject *> answer

    cdef void unlink(self, Answer answer) noexcept:
        if answer.newer is not NULL:
            (<Answer> answer.newer).older = answer.older
        else:
            self.newest = answer.older
        if answer.older is not NULL:
            (<Answer> answer.older).newer = answer.newer
        else:
            self.oldest = answer.newer
