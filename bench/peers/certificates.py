"""Certificates of one benchmark: a throw-away CA, a gateway's, a client's and an origin's, P-256, gone when it ends."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.certificates import Authority

__all__ = ["WORKLOAD", "Certificates", "certificates"]

WORKLOAD: Final = "spiffe://mesh.test/ns/shop/sa/cart"


class Certificates(NamedTuple):
    """Paths of PEM files: a certificate, its key, or (`both`) one behind the other."""

    authority: Path
    gateway: tuple[str, str]
    both: Path
    client: tuple[str, str]
    origin: tuple[str, str]


@functools.cache
def certificates() -> Certificates:
    """Made at the first call."""
    folder = Path(tempfile.mkdtemp(prefix="bench-certificates-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # for peers that give up root
    authority = Authority(folder)
    gateway = authority.issue("gateway.test", "gateway.test")
    both = folder / "both.pem"
    both.write_text("".join(Path(path).read_text() for path in gateway))
    return Certificates(authority.path, gateway, both, authority.issue("client", WORKLOAD, client=True),
                        authority.issue("localhost", "localhost"))  # fmt: skip
