"""The secret behind session tickets of TLS listeners, shared by all workers; csrc/tls/tls_ticket.h makes keys from it.

It changes by the hour, from one to the next by a function that does not lead back. Workers go on by the clock on their
own; the gateway's memory alone holds it, so a restart makes every session begin anew.
"""

import hashlib
import hmac
import os
import time
from typing import Final

from gateway.contract import TicketSettings

PERIOD: Final = 3600  # SL_TLS_TICKET_PERIOD


class TicketSecret:
    """One gateway's secret; `secret`: 32 bytes to begin with, else random ones."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret if secret is not None else os.urandom(32)
        self._period = int(time.time()) // PERIOD

    def settings(self) -> TicketSettings:
        """As workers get it: the secret of this hour."""
        period = int(time.time()) // PERIOD
        while self._period < period:
            self._secret = hmac.digest(self._secret, b"next", hashlib.sha256)
            self._period += 1
        return TicketSettings(period=self._period, secret=self._secret)
