"""Terminals of few letters, streams that are closed, files that begin with a mark: none is an internal error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from innerd.admin import invitation
from innerd.admin.invitation import InterfaceSection, Invitation, ServerSection
from tests.world import key, private_key

SAYS = """
from innerd.command import output
from innerd.command.options import finish
from innerd.command.settings import Settings
import click

@click.command()
@click.argument("what")
def say(what):
    if what == "bug":
        raise ZeroDivisionError("M\\u00fcller \\u2713 \\udcff")
    if what == "json":
        output.document({"name": "M\\u00fcller \\U0001f980 \\u2713"})
    else:
        output.line("\\u25c9 ryo \\u25ef M\\u00fcller \\u2713")

finish("inn", say, lambda: Settings("inn", "/nowhere", "/nowhere", "/nowhere"))
"""


def said(what: str, encoding: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "TMPDIR": str(tmp_path)}
    command = (sys.executable, "-c", SAYS, what)
    return subprocess.run(command, env=environment, capture_output=True, encoding=encoding, timeout=60, check=False)


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("ascii", "* ryo o M\\u00fcller \\u2713\n"),
        ("latin-1", "* ryo o M\u00fcller \\u2713\n"),
        ("utf-8", "\u25c9 ryo \u25ef M\u00fcller \u2713\n"),
    ],
)
def test_what_a_terminal_has_no_sign_for_is_spelled(encoding: str, line: str, tmp_path: Path) -> None:
    done = said("line", encoding, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, line, "")
    assert json.loads(said("json", encoding, tmp_path).stdout) == {"name": "M\u00fcller \U0001f980 \u2713"}


def test_a_bug_is_told_in_few_letters_too(tmp_path: Path) -> None:
    done = said("bug", "ascii", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: internal error: ZeroDivisionError: M\\u00fcller")
    (details,) = tmp_path.glob("inn-*.log")
    assert "ZeroDivisionError" in details.read_text()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("what", ["--help", "show", "doctor"])
def test_a_stream_that_is_closed_is_no_internal_error(closed: str, what: str, tmp_path: Path) -> None:
    inn = f'"{Path(sys.executable).parent}/inn" -c {tmp_path} -d {tmp_path} --runtime-dir {tmp_path} {what}'
    done = subprocess.run(["sh", "-c", f"{inn} {closed}"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 6), done.stderr  # doctor: as this machine is
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_byte_order_mark_is_no_part_of_an_invitation(tmp_path: Path) -> None:
    good = Invitation(
        interface=InterfaceSection(network_name="kermpany", address="10.42.0.9/16", private_key=private_key("x")),
        server=ServerSection(
            public_key=key("c"), external_endpoint="192.0.2.1:51820", internal_endpoint="10.42.0.1:51820"
        ),
    )
    file = tmp_path / "ryo.toml"
    file.write_bytes(b"\xef\xbb\xbf" + invitation.write(good, 1_800_000_000))
    assert invitation.read(file)[1].network == "kermpany"
