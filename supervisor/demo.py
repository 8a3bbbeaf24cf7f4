"""The local origin of `sluice run --demo`: an HTTP server on loopback that says who it is. Not part of a real gateway.

`python -m supervisor.demo --sockets N` serves on the N listening sockets inherited as descriptors 3, 4, ... and ends
when its standard input does, so that it never outlives the gateway that started it.
"""

import argparse
import errno
import http.server
import os
import socket
import sys
import threading
from typing import Final

from supervisor.host.errors import StartError, errno_text

PORT: Final = 8088  # as supervisor/sample/policy.yaml allows it
ANSWER: Final = b"Hello from the local origin of sluice's demo: the gateway let you through.\n"


def open_sockets(port: int = PORT) -> list[socket.socket]:
    """Listening sockets on 127.0.0.1 and, where there is IPv6, ::1: `localhost` may mean either. Raises StartError."""
    sockets: list[socket.socket] = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            sockets.append(socket.create_server((host, port), family=family))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno != errno.EADDRINUSE:
                continue
            for opened in sockets:
                opened.close()
            raise StartError(
                f"the demo's origin cannot use {host}:{port}: {errno_text(error)}", "stop what listens there"
            ) from None
    return sockets


class Handler(http.server.BaseHTTPRequestHandler):
    """The same answer to everything."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds without a request

    def do_GET(self) -> None:
        """GET and HEAD, any path."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(ANSWER)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what passed stands in the gateway's access log."""


class Origin(http.server.ThreadingHTTPServer):
    """Serves on a socket that is open already."""

    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that resets its connection is no failure of the origin, and nothing to print."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # the stubs name a socket


def main() -> int:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(prog="supervisor.demo", description=__doc__)
    parser.add_argument("--sockets", type=int, required=True)
    for number in range(parser.parse_args().sockets):
        origin = Origin(socket.socket(fileno=3 + number))
        threading.Thread(target=origin.serve_forever, daemon=True).start()
    while os.read(0, 4096):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
