"""The order of Linkerd's rules among themselves: the greater precedence wins, whatever matches better."""

from typing import Final

SERVER: Final = 3  # refuses at a listener, before anything else is asked
ROUTE: Final = 2
UNADMITTED: Final = 1  # refuses where no route matches, whom the EgressNetwork does not admit
TRAFFIC_POLICY: Final = 0
# `ahead` of a refusal that comes before every route of the same host.
BEFORE_ROUTES: Final = 1 << 48
