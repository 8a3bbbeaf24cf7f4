"""BackendTLSPolicies for other Services than this gateway's: what the image has of them, and what is wrong."""

import json
from pathlib import Path

from supervisor.policy.loader import Policy
from supervisor.policy.originations import originations_of
from supervisor.policy.resources.routing import Invalid, Service
from tests.supervisor.policy.dialects.gateway_api.loading import lines, load
from tests.supervisor.policy.dialects.gateway_api.test_rules import GATEWAY, ONE, ROUTE, routed

TO_API = ROUTE + "  rules: [{backendRefs: [{name: api, port: 8443}]}]\n"
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{name: secure, port: 8443, appProtocol: https}, {name: plain, port: 8080}]}
"""
POLICY = """apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tls, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: api}]
  validation: {hostname: api.shop.internal, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}
"""
CONFIG = """apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: shop}
data: {ca.crt: "certificates of CAs", other: "x"}
"""


def backend(policy: Policy) -> object:
    (rules,) = (rules for rules in routed(policy) if rules.tier == "allow")
    assert rules.route is not None
    return rules.route.backends[0].backend


def test_its_endpoints_are_reached_over_tls(tmp_path: Path) -> None:
    found, problems = load(tmp_path, GATEWAY, TO_API, SERVICE, POLICY, CONFIG, listeners=ONE)
    assert problems.errors == [] and problems.warnings == []
    one = backend(found)
    assert isinstance(one, Service) and isinstance(one.tls, str)
    said = json.loads(one.tls)
    assert (said["serverName"], said["ca"]) == ("api.shop.internal", "ConfigMap shop/ca")
    settings = originations_of(found.rules, found.backends)[one.tls]
    assert settings.ca is not None and settings.ca.content == "certificates of CAs"
    assert routed(found)[0].tls is None, "the destination that is asked for leaves as it would without the policy"


def test_a_section_is_for_its_port_alone(tmp_path: Path) -> None:
    one = POLICY.replace("name: api}", "name: api, sectionName: plain}")
    found, _ = load(tmp_path, GATEWAY, TO_API.replace("8443", "8080"), SERVICE, one, CONFIG, listeners=ONE)
    plain = backend(found)
    assert isinstance(plain, Service) and plain.tls
    every = POLICY.replace("name: tls,", "name: every,").replace("api.shop.internal", "every.test")
    documents = (GATEWAY, TO_API.replace("8443", "8080"), SERVICE, every, one, CONFIG)
    plain = backend(load(tmp_path, *documents, listeners=ONE)[0])
    assert isinstance(plain, Service) and "api.shop.internal" in str(plain.tls), "a section before the whole"


def test_https_without_a_policy_is_not_sent_in_clear(tmp_path: Path) -> None:
    found, problems = load(tmp_path, GATEWAY, TO_API, SERVICE, listeners=ONE)
    assert backend(found) == Invalid("UnsupportedProtocol")
    words = "ResolvedRefs=False, UnsupportedProtocol: port 8443 of Service shop/api is https"
    assert any(words in warning for warning in lines(tmp_path, problems)[1])


def test_of_two_the_older_holds_whatever_their_hostnames(tmp_path: Path) -> None:
    younger = POLICY.replace("name: tls,", "name: younger,").replace("api.shop", "other.shop")
    found, problems = load(tmp_path, GATEWAY, TO_API, SERVICE, younger, POLICY, CONFIG, listeners=ONE)
    one = backend(found)
    assert isinstance(one, Service) and "api.shop.internal" in str(one.tls)
    (warning,) = lines(tmp_path, problems)[1]
    assert "Conflicted: BackendTLSPolicy shop/tls is older and holds for Service shop/api" in warning


def test_cas_that_are_not_there_are_told(tmp_path: Path) -> None:
    for config, reason in ((CONFIG.replace("ca.crt", "ca.pem"), "no ConfigMap shop/ca"), ("", "no ConfigMap shop/ca")):
        _, problems = load(tmp_path, GATEWAY, TO_API, SERVICE, POLICY, *filter(None, [config]), listeners=ONE)
        warnings = lines(tmp_path, problems)[1]
        assert any("NoValidCACertificate" in line and reason in line for line in warnings), warnings
        assert any("InvalidCACertificateRef" in line for line in warnings), warnings
