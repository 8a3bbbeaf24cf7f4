"""Metrics of a running gateway, by name and labels."""

import re
import urllib.request
from typing import Final

from tests.support.run_gateway import Gateway

_LINE: Final = re.compile(r"(\w+)\{(.*)\} (\S+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def labelled(gateway: Gateway, name: str, **labels: str) -> int:
    """The sum of all series of a name that have these labels; 0 where there is none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=20) as page:
        text = page.read().decode()
    total = 0.0
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found and found[1] == name and labels.items() <= dict(_LABEL.findall(found[2])).items():
            total += float(found[3])
    return int(total)
