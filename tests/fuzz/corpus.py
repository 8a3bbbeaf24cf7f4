"""Kept inputs of the fuzzers: one file for each, one input a line, in hexadecimal, the shortest first.

python tests/fuzz/corpus.py pack FOLDER FILE      files become lines: at most 700 inputs of at most 1 KiB
python tests/fuzz/corpus.py unpack FILE FOLDER    lines become files
"""

import hashlib
import sys
from pathlib import Path
from typing import Final

INPUTS_MOST: Final = 700
BYTES_MOST: Final = 1024


def pack(folder: Path, file: Path) -> int:
    """How many inputs were kept."""
    inputs = {path.read_bytes() for path in folder.iterdir()}
    kept = sorted((data for data in inputs if 0 < len(data) <= BYTES_MOST), key=lambda data: (len(data), data))
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{data.hex()}\n" for data in kept[:INPUTS_MOST]))
    return min(len(kept), INPUTS_MOST)


def unpack(file: Path, folder: Path) -> int:
    """How many inputs there are. A file that is not there has none."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = file.read_text().split() if file.exists() else []
    for data in map(bytes.fromhex, lines):
        (folder / hashlib.sha256(data).hexdigest()[:20]).write_bytes(data)
    return len(lines)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["pack", folder, file]:
            count = pack(Path(folder), Path(file))
        case ["unpack", file, folder]:
            count = unpack(Path(file), Path(folder))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    print(f"{file}: {count} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
