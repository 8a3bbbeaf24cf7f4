"""Which tests are left to `make test-full`, so that `make test` stays near six minutes on two cores.

Most rows name variants: the same claim over a further protocol, address or number, whose sibling stays in `make test`.
Rows without a bracket are whole tests that cost many seconds.
"""

import re
from typing import Final

import pytest

LONG: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"test_reload_openings\.py::.*\[(http|pipy|socks5)",
        r"test_fair\.py::test_a_stream_behind_many_that_do_not_connect\[(rfc-(65|200|900)|pipy-(65|200|600))\]",
        r"test_fair\.py::test_names_that_dns_does_not_answer\[(pipy-one name|pipy-names of one|rfc-names of many)",
        r"test_fair\.py::test_a_stream_behind_many_destinations_that_do_not_connect\[pipy",
        r"test_dial_errors\.py::test_a_connection_to_itself.*\[(::1-SOCKS5|::ffff|198|127\.0\.0\.1-CONNECT)",
        r"test_own_addresses\.py::test_every_way.*\[(AnyIP over IPv6|IPv4-mapped|IPv6\]|a rule)",
        r"test_signals_at_start\.py::.*\[(supervisor\.(cli|service|supervisor)|zmq)\]",
        r"test_silent_peers\.py::test_(an_origin_that_pauses|an_http2_client_that_pauses|keep_alive_takes_effect)",
        r"test_inner_messages\.py::test_five_seconds.*\[(other timeouts|the same policy)",
        r"test_logins\.py::test_guesses_of_a_few_sources",
        r"test_logins\.py::test_a_reload_keeps_what_was_right",
        r"test_silent_peers\.py::test_a_peer_that_is_gone_while_(idle|bytes_are_on_their_way_is_found\[client)",
        r"test_http2_limits\.py::test_a_(flood_of_denied_requests_and_resets_is_cut\[pipy|new_connection_of_the_same)",
        r"test_fair\.py::test_two_hundred_streams_at_once",
        r"test_denied_names\.py::test_every_spelling_of_an_address\[HTTP",
        r"test_logins\.py::test_a_verdict_that_comes_after.*\[(http|http2)\]",
        r"test_logins\.py::test_a_changed_user.*\[(the same password|another identity)",
        r"test_denied_names\.py::test_a_denied_name_is_denied_behind_whatever.*\[(HTTP-a|TLS-a CIDR allow of|TLS-pass)",
        r"test_http2_limits\.py::test_(every_refusal_of_a_drain|a_request_that_is_under_way).*\[(http|socks5)\]",
        r"test_callbacks\.py::.*\[(asking a parent for HTTP/2|resolving for HTTP/2|dialing for HTTP)\]",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(pattern.search(item.nodeid) for pattern in LONG):
            item.add_marker(pytest.mark.full)
