"""Flomesh Service Mesh and osm-edge, of which it is the successor: Egress and what belongs to it."""

from typing import Final

from supervisor.policy.dialects.dialect import Dialect
from supervisor.policy.dialects.fsm.read import KINDS, read, selects
from supervisor.policy.dialects.fsm.resources import (
    Egress,
    EgressGateway,
    HTTPRouteGroup,
    MeshConfig,
    UpstreamTrafficSetting,
)
from supervisor.policy.dialects.fsm.rules import opens, rules

__all__ = ["DIALECT", "FsmPart"]

FsmPart = Egress | EgressGateway | HTTPRouteGroup | MeshConfig | UpstreamTrafficSetting
_PARTS: Final = (Egress, EgressGateway, HTTPRouteGroup, MeshConfig, UpstreamTrafficSetting)
DIALECT: Final = Dialect(KINDS, read, _PARTS, rules, opens, selects=selects)
