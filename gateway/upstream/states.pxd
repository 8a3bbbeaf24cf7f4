# States of a connection to a parent that many tunnels share, and which may follow which.
cdef enum ParentState:
    PARENT_GREETING = 0        # the parent's SETTINGS are awaited: it takes no requests yet
    PARENT_SERVING = 1
    PARENT_DOUBTED = 2         # it has left a request unanswered and sent nothing since: it gets no more
    PARENT_RETIRED = 3         # no generation has it: it ends with its last stream
    PARENT_GONE = 4            # it takes no new streams any more; those that it carries may go on

cdef bint parent_may_become(ParentState state, ParentState next) noexcept nogil
