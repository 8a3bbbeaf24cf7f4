"""gRPC through the gateway, HTTP/2 on both sides: unary calls, streams both ways, errors in trailers, refusals."""

import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
import pytest

from tests.support.certificates import Authority
from tests.support.run_gateway import Gateway, policy

COUNT: Final = 200


def upper(data: bytes, _: Any) -> bytes:
    return data.upper()


def fails(_: bytes, context: Any) -> bytes:
    context.set_trailing_metadata((("x-why", "for a test"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "there is none: 100%")
    return b""


def counts(data: bytes, _: Any) -> Iterator[bytes]:
    for at in range(int(data)):
        yield b"%d" % at * 1000


def sums(pieces: Iterator[bytes], _: Any) -> bytes:
    return b"%d" % sum(map(len, pieces))


def echoes(pieces: Iterator[bytes], _: Any) -> Iterator[bytes]:
    yield from pieces


def sleeps(_: bytes, context: Any) -> bytes:
    event = threading.Event()
    context.add_callback(event.set)
    event.wait(20)
    return b""


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Bytes in and out, without protocol buffers."""

    HANDLERS: Final = {
        "/t.T/Upper": grpc.unary_unary_rpc_method_handler(upper),
        "/t.T/Fails": grpc.unary_unary_rpc_method_handler(fails),
        "/t.T/Sleeps": grpc.unary_unary_rpc_method_handler(sleeps),
        "/t.T/Counts": grpc.unary_stream_rpc_method_handler(counts),
        "/t.T/Sums": grpc.stream_unary_rpc_method_handler(sums),
        "/t.T/Echoes": grpc.stream_stream_rpc_method_handler(echoes),
    }

    def service(self, details: Any) -> Any:
        return self.HANDLERS.get(details.method)


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client whose target is the gateway, and whose authority the origin's."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    certificate, key = (Path(path).read_bytes() for path in authority.issue("grpc", "localhost", "127.0.0.1"))
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(Service(),))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    tls = {"originate": True, "port": port, "ca": str(authority.path)}
    rules = [policy("grpc", [{"host": "localhost", "ports": [80]}, {"cidr": "127.0.0.0/8", "ports": [80]}], tls=tls)]
    options = [("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0)]
    with Gateway(rules) as gateway, grpc.insecure_channel(f"127.0.0.1:{gateway.port}", options) as found:
        found.gateway = gateway
        yield found
        assert gateway.counter("internal_errors_total") == 0
    server.stop(None)


def test_unary_calls(channel: Any) -> None:
    call = channel.unary_unary("/t.T/Upper")
    assert call(b"abc", timeout=20) == b"ABC"
    assert call(b"x" * 3_000_000, timeout=20) == b"X" * 3_000_000
    waiting = [call.future(b"%d" % at, timeout=20) for at in range(COUNT)]
    assert [one.result() for one in waiting] == [b"%d" % at for at in range(COUNT)]


def test_an_error_comes_with_its_trailers(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.T/Fails")(b"", timeout=20)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND and caught.value.details() == "there is none: 100%"
    assert ("x-why", "for a test") in [(one.key, one.value) for one in caught.value.trailing_metadata()]


def test_streams_down_and_up(channel: Any) -> None:
    pieces = list(channel.unary_stream("/t.T/Counts")(b"%d" % COUNT, timeout=20))
    assert pieces == [b"%d" % at * 1000 for at in range(COUNT)]
    assert channel.stream_unary("/t.T/Sums")((b"x" * 10_000 for _ in range(COUNT)), timeout=20) == b"%d" % (
        10_000 * COUNT
    )


def test_streams_both_ways_at_once(channel: Any) -> None:
    """Each message is sent only once the echo of the one before came."""
    came: list[bytes] = []
    heard = threading.Semaphore(1)

    def messages() -> Iterator[bytes]:
        for at in range(COUNT):
            heard.acquire()
            yield b"%d" % at

    for message in channel.stream_stream("/t.T/Echoes")(messages(), timeout=20):
        came.append(message)
        heard.release()
    assert came == [b"%d" % at for at in range(COUNT)]


def test_a_deadline_and_a_cancel_end_the_call(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.T/Sleeps")(b"", timeout=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    call = channel.unary_unary("/t.T/Sleeps").future(b"", timeout=20)
    call.cancel()
    assert channel.unary_unary("/t.T/Upper")(b"on", timeout=20) == b"ON"


def test_refusals_have_a_status_of_grpc(channel: Any) -> None:
    options = [("grpc.default_authority", "localhost:81"), ("grpc.enable_http_proxy", 0)]
    refused = grpc.insecure_channel(f"127.0.0.1:{channel.gateway.port}", options)
    with refused, pytest.raises(grpc.RpcError) as caught:
        refused.unary_unary("/t.T/Upper")(b"", timeout=20)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED and "denied" in caught.value.details()
