r"""Text from outside, fit for a terminal, a log or a header: bytes that any of them could obey become \xNN."""

__all__ = ["escape", "escape_unprintable"]


def escape(text: str) -> str:
    r"""`text` with every byte outside printable ASCII as \xNN."""
    if text.isascii() and text.isprintable():
        return text
    return _hex(_encoded(text))


def escape_unprintable(text: str | bytes) -> str:
    r"""Printable text as it is, in whatever script, every other byte as \xNN. Of bytes printable ASCII alone is text,
    without the backslash: a client's own \xNN stays apart from an escape."""
    if isinstance(text, bytes):
        return "\\x5c".join(map(_hex, text.split(b"\\")))
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _hex(_encoded(char)) for char in text)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that no file name and no file can have brought
        return text.encode("utf-8", "backslashreplace")


def _hex(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in data)
