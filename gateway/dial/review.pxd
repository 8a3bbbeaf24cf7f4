# A request on its way is judged again by the generation that has come (DECISIONS.md section 5).
from gateway.c.judge cimport sl_decision
from gateway.dial.race cimport Race
from gateway.parent.parent cimport Parent
from gateway.state.generation cimport Generation
from gateway.state.record cimport Record

cdef enum Review:
    REVIEW_REFUSED = 0         # denied now
    REVIEW_RESTART = 1         # allowed, and another way leads there
    REVIEW_NEXT = 2            # the attempts under way may not go on: the next address, at once
    REVIEW_KEPT = 3            # it goes on

# How far a request has come, and so the decisions that a new generation has to take again.
cdef enum Stage:
    STAGE_NAME = 0             # the name may be asked for
    STAGE_RESOLVING = 1        # its addresses are looked up
    STAGE_ADDRESS = 2          # the candidates are those that may be dialed
    STAGE_PARENT = 3           # the candidates are a parent's
    STAGE_HELD = 4             # a request inside has to show

# A request under the generation `now`, by its stage: login and name first; then the addresses that race, of which those
# that may not be dialed any more are given up, even where one has connected; or the parent that is asked, which carries
# on if it is still the way, and from the same addresses. The race's record takes the decisions over. `outcome`: the
# sl_outcome of REVIEW_REFUSED.
cdef Review review_request(Race race, Parent parent, int stage, Generation now, sl_decision *by_name,
                           int *outcome) noexcept
