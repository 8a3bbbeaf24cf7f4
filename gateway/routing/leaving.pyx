"""The head of a request as it leaves. See leaving.pxd."""

from gateway.c.message cimport sl_message_copy
from gateway.routing.fields cimport leave_outside
from gateway.routing.route cimport HeaderChanges


cdef bint prepare(Approach approach, Message head, bint mirrored) noexcept:
    cdef HeaderChanges changes = approach.changes
    if not sl_message_copy(&head.head, &approach.message.head) or not leave_outside(
            &head.head, approach.parts.settings.via, None if changes is None else changes.kept):
        return False
    if approach.record.trace is not None and not approach.record.trace.leave(&head.head):
        return False
    if approach.route is not None and not approach.route.steps.leave(&head.head):
        return False
    if approach.backend is not None and approach.backend.steps is not None and not approach.backend.steps.leave(
            &head.head):
        return False
    if changes is None:
        return True
    if mirrored or (changes.secrets is not None and approach.is_elsewhere()):
        return changes.elsewhere.apply(&head.head)
    return changes.changes.apply(&head.head)
