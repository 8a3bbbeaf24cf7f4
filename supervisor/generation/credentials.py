"""The values of credentials: read from their files, handed to workers, and read again where a file has changed.

Tools replace such files by rename or by a swap of symlinks, and some write into them: a change counts once nothing has
changed for one look more (renewal.py), so that half a value is hardly ever taken. A value that cannot be used any more
is taken away from workers, which refuse the requests that need it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.contract import CredentialSettings
from supervisor.config.credentials import Credential
from supervisor.host.file_marks import marks_of
from supervisor.host.secrets import Secret, read_secret, shared
from supervisor.source.problems import Problems, quote

__all__ = ["CredentialValues", "Reading", "check_files"]


def check_files(credentials: Sequence[Credential], problems: Problems) -> None:
    """Reports each file that holds no value. Blocks, and keeps nothing."""
    for one in credentials:
        if one.file.path:
            secret, fault = read_secret(one.file.path)
            if secret is not None:
                secret.close()
            else:
                problems.error(one.file.place, _words(one, fault), "one line of visible ASCII, as servers expect it")


def _words(one: Credential, fault: str) -> str:
    return f"the file {quote(one.file.path)} of the credential {quote(one.name)} {fault}"


@dataclass
class Reading:
    """All files as they were read, and the mark of each before that."""

    marks: dict[str, str]
    found: list[tuple[Secret | None, str]]

    def close(self) -> None:
        """Wipes what was read, and is of no use."""
        for secret, _ in self.found:
            if secret is not None:
                secret.close()


class CredentialValues:
    """Those of one configuration. Workers know each by a number that no other one has."""

    def __init__(self, credentials: Sequence[Credential], numbers: Iterator[int]) -> None:
        self._credentials = credentials
        self._numbers = [next(numbers) for _ in credentials]
        self._secrets: list[Secret | None] = [None] * len(credentials)
        self._faults = ["it was not read"] * len(credentials)
        self.marks: dict[str, str] = {}

    def settings(self) -> list[CredentialSettings]:
        """The part of a generation that workers get beside the values."""
        return [
            CredentialSettings(name=one.name, number=number, hosts=list(one.hosts), insecure=one.insecure)
            for one, number in zip(self._credentials, self._numbers, strict=True)
        ]

    def read(self) -> Reading:
        """The files as they are now. Blocks; nothing changes."""
        paths = [one.file.path for one in self._credentials]
        return Reading(marks_of(paths), [read_secret(path) for path in paths])

    def faults(self) -> list[str]:
        """The faults of files, one a line."""
        return [
            f"{one.file.place}: {_words(one, fault)}"
            for one, fault in zip(self._credentials, self._faults, strict=True)
            if fault
        ]

    def take(self, reading: Reading) -> list[tuple[str, str]]:
        """Goes over to what was read; the old values are wiped. Which credentials have another value, or none any more,
        and why not."""
        changed = []
        for at, (one, (secret, fault)) in enumerate(zip(self._credentials, reading.found, strict=True)):
            old, self._secrets[at] = self._secrets[at], secret
            if fault != self._faults[at] or (secret is not None and not secret.same(old)):
                changed.append((one.name, _words(one, fault) if fault else ""))
            self._faults[at] = fault
            if old is not None:
                old.close()
        self.marks = reading.marks
        return changed

    def share(self) -> tuple[list[tuple[int, int]], int]:
        """The number of each and the length of its value, 0 where it cannot be used; and a descriptor of memory that
        has the values one behind the other, which the caller closes. Raises OSError."""
        lengths = [secret.length if secret is not None else 0 for secret in self._secrets]
        return list(zip(self._numbers, lengths, strict=True)), shared(self._secrets)

    def close(self) -> None:
        """Wipes the values."""
        for secret in self._secrets:
            if secret is not None:
                secret.close()
        self._secrets = [None] * len(self._secrets)
