"""Which tests are left to `make test-full`, so that `make test` stays near six minutes on two cores.

Most rows of LONG name variants: the same claim over a further protocol, address or number, whose sibling stays in
`make test`. Rows without a bracket are whole tests that cost many seconds. FIRST keeps so many variants of a test, the
first ones, whose every variant starts a gateway or a command.
"""

import gc
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import pytest

# Where it is set, as in many containers, each of a thousand starts of the gateway would translate every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

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
        r"test_denied_names\.py::test_every_spelling_of_an_address\[HTTP",
        r"test_logins\.py::test_a_verdict_that_comes_after.*\[(http|http2)\]",
        r"test_logins\.py::test_a_changed_user.*\[(the same password|another identity)",
        r"test_denied_names\.py::test_a_denied_name_is_denied_behind_whatever.*\[(HTTP-a|TLS-a CIDR allow of|TLS-pass)",
        r"test_http2_limits\.py::test_(every_refusal_of_a_drain|a_request_that_is_under_way).*\[(http|socks5)\]",
        r"test_callbacks\.py::.*\[(half a|greeting|verifying SOCKS5,|\w+ for HTTP|asking.*for HTTP|a tunnel with)",
        r"test_callbacks\.py::.*\[(refused over|malformed)",
        r"test_explain\.py::test_the_source_of_an_identity_is_said",
        r"test_reload\.py::test_reloads_leave_no_descriptor_and_no_old_image_behind",
        r"test_run\.py::test_us_against_the_floor",
        r"test_sockets\.py::test_of_gateways_that_start_at_once_never_two_get_the_port",
        r"test_http2_bulk\.py::test_node_with_bulk_and_chat",
        r"test_parent_tunnels\.py::test_(content_is_the_same_at_both_ends|a_tunnel_that_is_not_read)",
        r"test_lifecycle\.py::test_(a_signal_while_no_worker|two_gateways_whose|a_control_endpoint_in_use)",
        r"test_silent_peers\.py::test_(a_reader_that_pauses|a_peer_that_is_gone_while_bytes)",
        r"test_inner_messages\.py::test_(five_seconds_are|time_alone_denies)",
        r"test_limits\.py::test_(who_leaves_while|passwords_that_wait|further_addresses|look_ups_of_one)",
        r"test_micro\.py::test_turn",
        r"test_stats_topic\.py::test_a_stuck_subscriber",
        r"test_drain\.py::test_(the_ends_of_what_is_left|a_new_gateway_starts_at_once)",
        r"test_takeover\.py::test_(a_successor_that_cannot_start|two_successors_at_once)",
        r"test_listeners\.py::test_addresses_change_by_a_takeover",
        r"test_parent_tunnels\.py::test_(a_reload_leaves_tunnels|a_parent_that_is_killed|source_addresses_are)",
        r"test_resolver_hostile\.py::test_(a_server_that_fails_at_random|any_bytes_in_reply)",
        r"test_workers\.py::test_(a_worker_that_dies_again|restarts_back_off)",
        r"test_one_byte\.py::test_(a_parent_that_answers_nonsense|what_names_another_host|credentials_are_the_parents)",
        r"test_reload\.py::test_a_worker_that_(greets_during|loads_a_generation)",
        r"test_reload_openings\.py::test_while_it_waits_in_the_queue",
        r"test_dns\.py::test_one_deadline_bounds",
        r"test_logins\.py::test_passwords_under_check_do_not",
        r"test_explain\.py::test_attributes_name_their_rules",
        r"test_upstreams\.py::test_(a_silent_parent|the_next_address_is_tried)",
        r"test_listeners\.py::test_(a_takeover_(has|empties)|a_worker_that_is_replaced.*\[after)",
        r"test_fd_store\.py::test_(stored_sockets|clients_wait)",
        r"test_restart_trouble\.py::test_(a_compilation.*\[the process|a_gateway_that|a_log_reader|a_full_disk)",
        r"test_systemd\.py::test_(systemd_keeps|sockets_that)",
        r"test_inner_protocols\.py::test_a_protocol_that_does.*\[a part",
        r"test_inner_protocols\.py::test_the_name_behind.*\[(mail\.test-(imap|mysql)|other\.test-(smtp|postgres))",
        r"test_drain\.py::test_(drain_leaves_the_process_up|what_is_left_in_the_end)",
        r"test_limits\.py::test_(a_drain_serves|dials_of|many_requests_of|connections_that_ask|a_draining|users_behind)",
        r"test_renewal\.py::test_(a_revocation_list|files_renamed|policy_waits)",
        r"test_tls_listener\.py::test_sessions_are_resumed.*\[771",
        r"test_certificate_identity\.py::test_a_tunnel_outlives",
        r"test_tokens\.py::test_(a_tunnel_outlives|guesses_are|on_revoke_holds|a_token_satisfies)",
        r"test_forwarded\.py::test_(trust_that_is_gone.*identities|a_forwarded_identity_satisfies)",
        r"test_upstreams\.py::test_a_proxy_header_names.*\[with a login",
        r"test_parent_tunnels\.py::test_(both_ways|bulk_comes|half_closes|two_hundred|an_http2_client)",
        r"test_http2\.py::test_(a_large_download|what_is_left_when)",
        r"test_http2_limits\.py::test_(two_hundred_streams.*\[pipy|uploads_that_stall)",
        r"test_resolver\.py::test_(names_that_waited|more_names_than_may)",
        r"test_resolver_dnsmasq\.py::test_what_lies",
        r"test_parent_peers\.py::test_hostile_parents",
        r"test_admin\.py::test_a_flood",
        r"test_observation\.py::test_(the_command_lists|a_rule_that_takes)",
        r"test_lifecycle\.py::test_(sigterm_kills|a_port_that_another|a_control_endpoint_that_another)",
        r"test_workers\.py::test_(a_gateway_can_start|many_connections|workers_that_cannot_load|a_worker_that_hangs_while_d)",
        r"test_one_byte\.py::test_(an_address_is_let|what_the_parent_refuses)",
        r"test_upstreams\.py::test_(a_tunnel_does_not_change|explain_says)",
        r"test_revocation\.py::test_a_tunnel_that_is_still",
        r"test_fair\.py::test_a_(name_that_is_known|dead_parent)",
        r"test_wrong_values\.py::test_no_mistake.*\[policy",
        r"test_http2_bulk\.py::test_bulk_that_never_ends.*\[16384",
        r"test_own_addresses\.py::test_service_addresses",
        r"test_resolver\.py::test_no_source_fills",
        r"test_limits\.py::test_(what_is_over_waits|a_killed_workers|provisional_tunnels)",
        r"test_takeover\.py::test_without_a_running",
        r"test_fair\.py::test_a_stream_behind_many_destinations",
        r"test_source_address\.py::test_a_(check_warns|parent_gateway)",
        r"test_parent_tunnels\.py::test_a_parent_that_drains",
        r"test_tls_parents\.py::test_(a_changed_ca|the_parent_of_a_tls_client)",
        r"test_origination\.py::test_(an_origin_that|a_server_name|an_address_is|a_reload_that|explain_and_policy)",
    )
)
FIRST: Final = {
    "test_bad_input.py::test_a_request_that_stops_is_closed_at_the_timeout": 2,
    "test_bulk.py::test_a_reader_that_stays_stalled_has_no_pipe": 1,
    "test_clock.py::test_no_age_or_duration_follows_the_wall_clock": 1,
    "test_configuration.py::test_a_mistake_is_named_with_its_place": 3,
    "test_demo.py::test_lines_that_ask_the_gateway_work_as_printed": 2,
    "test_denied_names.py::test_a_hard_deny_holds_whatever_a_listener_is_lenient_about": 2,
    "test_dns.py::test_an_address_that_fails_does_not_fail_the_name": 1,
    "test_dns.py::test_name_servers_that_cannot_tell": 1,
    "test_drain.py::test_a_request_on_a_connection_from_before_is_told_to_go": 1,
    "test_drain.py::test_every_queue_is_accepted_empty": 1,
    "test_explain.py::test_offline_and_live_agree": 2,
    "test_explain.py::test_resolve_judges_what_dns_says": 1,
    "test_explain.py::test_the_gateway_does_what_explain_says": 4,
    "test_fair.py::test_names_that_dns_does_not_answer": 1,
    "test_http2_bulk.py::test_bulk_and_chat_on_one_connection": 4,
    "test_http2_limits.py::test_a_parent_that_leaves_something_unfinished_is_left": 1,
    "test_http2_limits.py::test_an_exchange_that_is_no_tunnel_has_the_time_of_a_request": 1,
    "test_http2_limits.py::test_what_is_not_finished_has_the_time_of_a_request": 5,
    "test_inner_names.py::test_a_rule_or_a_listener_may_audit_or_not_look": 2,
    "test_lifecycle.py::test_after_a_drain_the_process_is_gone": 1,
    "test_lifecycle.py::test_no_permission_to_read_a_file": 2,
    "test_lifecycle.py::test_workers_that_ignore_it_are_killed": 1,
    "test_load.py::test_every_mode_ends_well": 2,
    "test_load_h2.py::test_every_mode_ends_well": 1,
    "test_load_tls.py::test_an_answer_that_is_not_tls": 3,
    "test_load_tls.py::test_every_mode_ends_well": 3,
    "test_logins.py::test_a_changed_user_loses_its_tunnels_and_others_do_not": 1,
    "test_one_byte.py::test_a_name_goes_to_the_parent_unresolved": 1,
    "test_one_byte.py::test_what_the_parent_refuses_is_refused": 1,
    "test_proxy_header.py::test_before_tls": 2,
    "test_proxy_header.py::test_from_other_peers_a_header_is_refused": 2,
    "test_upstreams.py::test_a_proxy_header_names_the_client": 1,
    "test_parent_peers.py::test_a_parent_that_stalls_is_a_timeout": 1,
    "test_questions.py::test_a_denial_comes_with_the_policy_that_would_allow_it": 2,
    "test_reload.py::test_a_bad_file_changes_nothing_and_is_reported_with_its_place": 2,
    "test_reload_openings.py::test_while_a_parent_is_asked": 1,
    "test_resolver.py::test_a_family_that_gets_no_answer_does_not_hold_up_the_other": 1,
    "test_resolver_hostile.py::test_forged_replies_alone_are_a_timeout": 3,
    "test_revocation.py::test_a_tunnel_that_nothing_allows_any_more_is_killed": 1,
    "test_revocation.py::test_an_explicit_denial_has_the_last_word": 1,
    "test_signals_at_start.py::test_an_end_that_is_asked_for_while_it_starts_is_a_clean_one": 4,
    "test_tls_clients.py::test_node": 1,
    "test_tls_listener.py::test_alpn_follows_the_listener": 2,
    "test_origination.py::test_a_handshake_that_fails_has_its_reason": 1,
    "test_origination.py::test_through_a_parent": 1,
    "test_tls_parents.py::test_a_certificate_with_the_name_is_accepted": 2,
    "test_tls_parents.py::test_a_handshake_that_fails_has_its_reason": 2,
    "test_tls_parents.py::test_a_silent_parent_is_bounded_by_the_dial": 1,
    "test_tls_parents.py::test_bulk_ends_and_resets_cross": 1,
    "test_tls_parents.py::test_gateways_chain_over_mtls": 1,
    "test_upstreams.py::test_a_name_goes_to_the_parent_unresolved": 1,
    "test_upstreams.py::test_a_parent_that_answers_nonsense_is_a_refusal": 1,
    "test_upstreams.py::test_an_address_is_judged_here_and_asked_for_as_it_is": 1,
    "test_credential_files.py::test_a_file_that_goes_bad_closes_what_needs_it_until_it_is_mended": 2,
    "test_upstreams.py::test_credentials_are_the_parents_to_verify": 1,
    "test_upstreams.py::test_what_the_parent_refuses_is_refused": 1,
}

# Files of long tests that do nothing but work: they start first, as the last one to start has all others wait for it.
# Two of them for two cores: beside more of them, tests of processes that have to be in time would fail.
EARLY: Final = ("supervisor/policy/test_property.py", "supervisor/policy/test_void_rules.py")
LEFT_OPEN_MOST: Final = 300  # descriptors that the tests of one file may leave open; loops of tests live to the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rows: defaultdict[str, list[re.Pattern[str]]] = defaultdict(list)  # by file: there are many items
    for pattern in LONG:
        rows[pattern.pattern.partition("::")[0].replace("\\", "")].append(pattern)
    seen: Counter[str] = Counter()
    for item in items:
        test = item.nodeid.partition("[")[0].rpartition("/")[2]  # a variant's name may have slashes
        seen[test] += 1
        if seen[test] > FIRST.get(test, len(items)) or any(
            row.search(item.nodeid) for row in rows[test.partition("::")[0]]
        ):
            item.add_marker(pytest.mark.full)
    items.sort(key=lambda item: not item.nodeid.partition("::")[0].endswith(EARLY))


def pytest_collection_finish() -> None:
    """Objects of the collection live to the end: nothing that looks for garbage, or counts objects, needs to look at
    half a million of them."""
    gc.collect()
    gc.freeze()


OPENED: Final[dict[str, int]] = {}  # by file, descriptors of this process when its first test began
LEFT_OPEN: Final[dict[str, int]] = {}  # by file, how many more there are behind its last one


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A file that leaves many descriptors open would have later ones fail, beyond number 1023 in strange ways."""
    file, following = (one.nodeid.partition("::")[0] if one else "" for one in (item, nextitem))
    before = OPENED.setdefault(file, len(os.listdir("/proc/self/fd")))
    done = yield
    if following != file:
        LEFT_OPEN[file] = len(os.listdir("/proc/self/fd")) - before
    return done


@pytest.fixture(scope="session", autouse=True)
def files_close_what_they_open() -> Iterator[None]:
    yield
    assert {file: left for file, left in LEFT_OPEN.items() if left > LEFT_OPEN_MOST} == {}
