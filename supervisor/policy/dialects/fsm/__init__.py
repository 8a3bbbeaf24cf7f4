"""Flomesh Service Mesh and osm-edge, of which it is the successor: EgressGateway."""

from typing import Final

from supervisor.policy.dialects.dialect import Dialect
from supervisor.policy.dialects.fsm.read import KINDS, read
from supervisor.policy.dialects.fsm.resources import EgressGateway
from supervisor.policy.dialects.fsm.rules import rules

__all__ = ["DIALECT", "FsmPart"]

FsmPart = EgressGateway
DIALECT: Final = Dialect(KINDS, read, (EgressGateway,), rules)
