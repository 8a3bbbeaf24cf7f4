"""Whatever stands between a leg and its socket: the tests of codecs, tunnels, inner names and parents once more, over
legs that deliver one byte and make the next call wait (tests/csrc/one_byte_leg.h). What passes here passes over TLS.

The gateways of this module have that table in their workers; the tests are those of their own modules.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e import conftest
from tests.e2e.conftest import World
from tests.e2e.network import test_upstreams
from tests.e2e.policy import test_inner_names
from tests.e2e.protocols import test_answers, test_bad_input, test_tunnels
from tests.support import wire
from tests.support.run_gateway import Gateway
from tests.support.sluice_process import TREE

PATHS: Final = f"{Path(__file__).parents[2] / 'support' / 'one_byte'}:{TREE}"
Test = Callable[..., None]

# Their fixtures with them: pytest finds both by name in this module.
row = test_answers.row
open_gateway = test_tunnels.open_gateway
guarded = test_bad_input.guarded
gateway = test_inner_names.gateway
BORROWED: Final[list[Test]] = [
    test_answers.test_socks5_answers_the_rows_reply_code_and_closes,
    test_answers.test_socks4a_answers_every_failure_alike_and_closes,
    test_answers.test_http_answers_the_rows_status_and_proxy_status,
    test_answers.test_success_is_answered_and_bytes_flow,
    test_answers.test_a_denial_names_its_rule_and_reason,
    test_answers.test_a_plain_request_is_judged_as_a_tunnel_is,
    test_tunnels.test_payload_that_comes_with_the_request_arrives_once_and_first,
    test_tunnels.test_every_field_may_arrive_split_byte_by_byte,
    test_tunnels.test_a_half_close_of_the_client_is_carried_through,
    test_tunnels.test_a_half_close_of_the_origin_is_carried_through,
    test_tunnels.test_a_reset_of_the_origin_is_a_reset_for_the_client,
    test_tunnels.test_a_reset_of_the_client_is_a_reset_for_the_origin,
    test_tunnels.test_a_clean_end_is_never_a_reset,
    test_tunnels.test_the_close_line_counts_the_bytes_of_each_direction,
    test_bad_input.test_malformed_bytes_are_answered_or_closed,
    test_bad_input.test_a_client_that_leaves_without_a_word,
    test_inner_names.test_what_agrees_or_says_nothing_passes,
    test_inner_names.test_what_names_another_host_is_reset_and_nothing_of_it_leaves,
    test_inner_names.test_a_first_word_is_answered_before_more_comes,
    test_inner_names.test_a_first_word_does_not_open_the_door_for_another_name,
    test_inner_names.test_a_server_that_speaks_first_is_never_held,
    test_inner_names.test_an_address_is_let_in_by_the_name_shown,
    test_upstreams.test_a_name_goes_to_the_parent_unresolved,
    test_upstreams.test_credentials_are_the_parents_to_verify,
    test_upstreams.test_what_the_parent_refuses_is_refused,
    test_upstreams.test_a_parent_that_answers_nonsense_is_a_refusal,
]
globals().update({test.__name__: test for test in BORROWED})


@pytest.fixture(scope="module", autouse=True)
def one_byte_legs() -> Iterator[None]:
    """Every gateway that begins here has them, whichever fixture makes it."""
    with pytest.MonkeyPatch.context() as patch:
        plain = Gateway.launch

        def launch(self: Gateway) -> None:
            self.variables["PYTHONPATH"] = PATHS
            plain(self)

        patch.setattr(Gateway, "launch", launch)
        yield


@pytest.fixture(scope="module")
def mesh(one_byte_legs: None, world: World) -> Iterator[Gateway]:
    """The shared gateway of other modules, with one worker."""
    with conftest.sample_gateway(world) as gateway:
        yield gateway


def test_the_table_is_in_place(mesh: Gateway, world: World) -> None:
    """A worker has the probe, and does not splice what bytes must be seen of."""
    (pid,) = mesh.workers()
    assert "leg_probe" in Path(f"/proc/{pid}/maps").read_text()
    body = b"x" * 3000
    with wire.connect(mesh.port) as client:
        wire.OPENINGS["socks5"](client, "127.0.0.1", world.echo.port)
        client.sendall(body)
        client.shutdown(socket.SHUT_WR)
        assert wire.to_the_end(client) == body
