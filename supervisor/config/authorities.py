"""The CAs that this system trusts, for TLS towards the outside that names none of its own."""

import contextlib
import os
import ssl
from typing import Final

# Of the systems that OpenSSL's own default does not name.
BUNDLES: Final = (
    *("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"),
    "/etc/ssl/cert.pem",
)
_MOST: Final = 16 * 1024 * 1024  # bytes of such a file; they have some 200 KiB


def system_bundle() -> str | None:
    """The file that has them; None where there is none."""
    known = ssl.get_default_verify_paths()
    named = os.environ.get(known.openssl_cafile_env)
    candidates = (named,) if named else (known.openssl_cafile, *BUNDLES)
    return next((path for path in candidates if path and os.path.isfile(path)), None)


def system_text() -> bytes | None:
    """Its PEM text, unread; None where there is none, or it cannot be read: then nothing outside is trusted."""
    path = system_bundle()
    if path is not None:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            text = file.read(_MOST)
            return text if b"BEGIN CERTIFICATE" in text else None
    return None
