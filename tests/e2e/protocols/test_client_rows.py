"""docs/clients.md is true: its rows are typed as they stand against a gateway with the sample's policy, and print what
is shown, allowed and denied. Rows of tools that the tests do not install are in blocks that are not typed."""

import contextlib
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from supervisor.demo import Origin
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway
from tests.support.sluice_process import ROOT
from tests.support.tour import Shell, agrees, steps

DOCUMENT: Final = ROOT / "docs/clients.md"
FOLDER: Final = "/tmp/sluice-clients"
SAMPLE: Final = ROOT / "supervisor/sample"


@contextlib.contextmanager
def origin() -> Iterator[int]:
    """The demo's origin, on a port of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    port: int = listening.getsockname()[1]
    serving = Origin(listening)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield port
    serving.shutdown()
    serving.server_close()


@pytest.mark.timeout(300)
def test_the_rows_print_what_is_shown(tmp_path: Path) -> None:
    document, secure, admin = DOCUMENT.read_text(), free_port(), free_port()
    with origin() as port:
        text = (SAMPLE / "policy.yaml").read_text().replace("8088", str(port))
        with Gateway(list(yaml.safe_load_all(text))) as gateway:

            def replace(text: str) -> str:
                text = text.replace("127.0.0.1:1080", f"127.0.0.1:{gateway.port}").replace("8088", str(port))
                text = re.sub(r"\b1443\b", str(secure), text).replace("9902", str(admin))
                return re.sub(r"\b1080\b", str(gateway.port), text).replace(FOLDER, str(tmp_path / "rows"))

            (tmp_path / "rows").mkdir()
            typed = 0
            with Shell(replace, FOLDER) as shell:
                for step in steps(document):
                    printed = shell.do(step)
                    assert step.kind == "file" or agrees(step.text, printed), f"$ {step.what}\n{printed}"
                    typed += step.kind == "command"
    assert typed >= 20


def test_every_client_is_shown_denied() -> None:
    """Each chapter has a line for what is denied, and each row of the table a chapter."""
    chapters = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    rows = re.findall(r"^\| \[(.*?)\]\(#(.*?)\)", chapters[0], re.MULTILINE)
    titles = [chapter.partition("\n")[0] for chapter in chapters[1:]]
    assert [anchor for _, anchor in rows] == [title.lower().replace(" ", "-") for title in titles]
    for title, chapter in zip(titles, chapters[1:], strict=True):
        assert "tracker.example.com" in chapter or "other.example.com" in chapter, title
    assert all(shutil.which(tool) for tool in ("curl", "nc", "node")), "TEST_PACKAGES of the Makefile"
