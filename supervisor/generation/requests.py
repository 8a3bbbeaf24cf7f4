"""Messages between the supervisor and the compile process, msgpack over a SOCK_SEQPACKET socket."""

from typing import Final

import msgspec

__all__ = ["MOST_MESSAGE", "Accepted", "Answer", "Compile", "Ended", "Holds", "Request", "answer_of", "request_of"]

MOST_MESSAGE: Final = 65536


class Compile(msgspec.Struct, tag=True):
    """Compile the sluice.yaml at `path`. Beside it come the result's socket, and a file with the rule slots."""

    number: int
    path: str
    serving: list[tuple[str, int]]  # the active addresses, which the file may no longer name


class Accepted(msgspec.Struct, tag=True):
    """The last result has become active."""


class Ended(msgspec.Struct, tag=True):
    """The child of a Compile is gone; `status` as os.waitstatus_to_exitcode gives it."""

    number: int
    status: int


class Holds(msgspec.Struct, tag=True):
    """So much is remembered."""

    files: int
    bytes: int


Request = Compile | Accepted
Answer = Ended | Holds
request_of: Final = msgspec.msgpack.Decoder(Request).decode
answer_of: Final = msgspec.msgpack.Decoder(Answer).decode
