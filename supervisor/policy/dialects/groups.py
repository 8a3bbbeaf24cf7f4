"""The group of each dialect: all that one says is reduced to one verdict by its own order, then the verdicts of all
dialects are compared (DECISIONS.md section 4, csrc/policy/image.h). At most eight.

EgressPolicy and ClusterEgressPolicy are group 0: they have a verdict in each tier.
"""

from typing import Final

SMOKESCREEN: Final = 1
FSM: Final = 2
LINKERD: Final = 3
GATEWAY_API: Final = 4
