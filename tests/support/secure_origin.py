"""The origin of http_origin.py over TLS."""

import socket
import ssl

from tests.support.certificates import Authority
from tests.support.http_origin import HttpOrigin, serve
from tests.support.origins import Origin


class SecureOrigin(HttpOrigin):
    """HTTP/1.1 over TLS, with a certificate of `authority` for `names`."""

    def __init__(self, authority: Authority, *names: str) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*authority.issue(f"origin-{names[0]}", *names))
        self.context.set_alpn_protocols(["http/1.1"])
        super().__init__()
        self.handler = self._live

    def _live(self, connection: socket.socket, origin: Origin) -> None:
        try:
            with self.context.wrap_socket(connection, server_side=True) as secure:
                serve(secure, origin)
        except OSError as wrong:
            self.note(wrong)
