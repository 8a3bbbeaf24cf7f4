# Live tunnels are judged again under a new generation (DECISIONS.md section 5).
from gateway.c.judge cimport sl_decision
from gateway.state.generation cimport Generation
from gateway.state.record cimport Record
from gateway.tunnel.sweep cimport Sweep
from gateway.tunnel.tunnel cimport Tunnel

cdef class Rejudge(Sweep):
    pass

# Judges what stands under `now`, which counts for it from here on; one whose source's address is another pod's, or
# none's, is denied. sl_on_revoke: the end that a denial has.
cdef unsigned judge_standing(Record record, Generation now, sl_decision *decision) noexcept
# That decision counts: noted, and with a log line where a denial lets it be, for good or for now.
cdef void take_standing(Record record, const sl_decision *decision, unsigned way) noexcept
