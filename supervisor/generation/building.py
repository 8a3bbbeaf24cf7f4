"""From the policy paths of a configuration to an image: files as a whole, or object by object as a cluster gives them
(DECISIONS.md section 5). There an object that cannot be used is left out, and the rest is built again."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from supervisor.config.authorities import system_text
from supervisor.config.config import Config
from supervisor.config.tls import ClientTls, ReadTls
from supervisor.identity.users import User
from supervisor.policy.apart import MOST, Apart
from supervisor.policy.compiler import Built, build_image
from supervisor.policy.grants import Granted
from supervisor.policy.loader import Policy, Surroundings, load_policy
from supervisor.policy.originations import originations_of
from supervisor.policy.remembered import Reading
from supervisor.segment.rule_slots import RuleSlots
from supervisor.source.problems import Place, Problem, Problems

__all__ = ["Outcome", "build", "surroundings_of"]


class Outcome(NamedTuple):
    """`config` has `passthrough: mesh` resolved; `built` is None where there are errors. `refused`: what is wrong with
    objects that were left out."""

    config: Config
    policy: Policy
    originations: dict[str, ClientTls]
    tls: ReadTls
    built: Built | None
    refused: tuple[Problem, ...] = ()


def build(
    config: Config,
    users: tuple[User, ...],
    problems: Problems,
    reading: Reading,
    serving: Sequence[tuple[str, int]],
    slots: RuleSlots,
    as_cluster: bool,
) -> Outcome:
    """The outcome; faults of files go to `problems`. `as_cluster`: the objects of files are judged as a cluster's."""
    paths, places, surroundings = config.policy.paths, config.policy.places, surroundings_of(config)
    if not as_cluster:
        policy = load_policy(paths, places, problems, reading, surroundings, config.policy.per_namespace)
        return _built(config, users, policy, problems, serving, slots)
    granted = Granted(config.grants, config.addresses.allow)
    apart = Apart(paths, places, problems, surroundings, granted, config.policy.per_namespace)
    while True:
        trial = Problems(MOST)
        for error in problems.errors:
            trial.add(error)
        found = _built(config, users, apart.policy(), trial, serving, slots)
        if not apart.refuse(trial.errors):
            break
        if found.built is not None:
            os.close(found.built.descriptor)
    for warning in trial.warnings:
        problems.warn(warning)
    return found._replace(refused=tuple(apart.errors()))


def _built(
    config: Config,
    users: tuple[User, ...],
    policy: Policy,
    problems: Problems,
    serving: Sequence[tuple[str, int]],
    slots: RuleSlots,
) -> Outcome:
    originations = originations_of(policy.rules, policy.backends)
    tls = _tls(config, originations, problems)
    config = _as_the_mesh_says(config, policy, problems)
    return Outcome(config, policy, originations, tls, build_image(config, users, policy, problems, serving, slots))


def surroundings_of(config: Config) -> Surroundings:
    """The part of sluice.yaml that the meaning of manifests depends on."""
    return Surroundings(
        services=config.gateway.services,
        passthrough="mesh" if config.policy.follows_mesh else config.policy.passthrough,
        namespace=config.gateway.namespace,
        labels=config.gateway.labels,
        listeners=tuple((listener.name, listener.port) for listener in config.listeners),
        cluster_networks=config.gateway.cluster_networks,
        cluster_domain=config.gateway.cluster_domain,
        global_namespace=config.linkerd.global_namespace,
        trust_domains=tuple((each.name, each.linkerd_namespace or "") for each in config.identity.trust.domains),
    )


def _as_the_mesh_says(config: Config, policy: Policy, problems: Problems) -> Config:
    """The configuration with `passthrough: mesh` resolved; without settings of a mesh that is an error."""
    if not config.policy.follows_mesh:
        return config
    if policy.mesh_opens is None:
        words = "policy.passthrough is `mesh`, and no MeshConfig is among the manifests of policy.paths"
        problems.error(Place(config.path), words, "add it, or write true or false")
    resolved = msgspec.structs.replace(config.policy, passthrough=bool(policy.mesh_opens))
    return msgspec.structs.replace(config, policy=resolved)


def _tls(config: Config, originations: Mapping[str, ClientTls], problems: Problems) -> ReadTls:
    have = [listener.tls for listener in config.listeners] + [upstream.tls for upstream in config.upstreams]
    read = ReadTls()
    if any(have) or originations or config.identity.trust.domains:
        from supervisor.config.certificates import read_tls  # takes a while to load

        read = read_tls(config, originations, problems)
    if read.system_ca is None and config.takes_requests():
        read.system_ca = system_text()
    return read
