"""Ctrl-C: every verb ends with 130 and says what that means and how to go on; never a traceback."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import innclient.cli
import innerd.cli
from innerd.command.settings import Settings
from innerd.failure import Failure
from tests.client.commands import Host
from tests.client.conftest import NETWORK
from tests.client.screen import Screen
from tests.client.test_hostile_invitations import GOOD

GROUPS: dict[str, click.Group] = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}
VERBS = [(program, verb) for program, group in GROUPS.items() for verb in group.commands]


def interrupting(**_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("program", "verb"), VERBS)
def test_every_verb_says_what_its_end_means(monkeypatch: pytest.MonkeyPatch, program: str, verb: str) -> None:
    command = GROUPS[program].commands[verb]
    monkeypatch.setattr(command, "callback", interrupting)
    settings = Settings(program, "/nowhere", "/nowhere", "/nowhere")
    context = command.make_context(verb, [], resilient_parsing=True, obj=settings)
    with context, pytest.raises(Failure) as raised:
        command.invoke(context)
    failure = raised.value
    assert (failure.status, failure.code) == (130, "interrupted")
    assert failure.message.startswith("interrupted: ")
    assert failure.hint


ASKING = {
    "new": (["new"], "Network name"),
    "init": (["init", "--network-name", "other"], "Network CIDR"),
    "add-peer": (["add-peer", NETWORK], "CIDR"),
    "rename-cidr": (["rename-cidr", NETWORK, "humans"], "New name"),
    "uninstall": (["uninstall", NETWORK], "for good?"),
    "revoke-admin": (["revoke-admin", "ryo"], "Take admin rights"),
}


@pytest.mark.parametrize("verb", ASKING)
def test_at_a_question_nothing_is_left_half_done(host: Host, verb: str) -> None:
    before = {path: path.read_bytes() for path in host.folder.rglob("*") if path.is_file()}
    words, question = ASKING[verb]
    screen = Screen(host, *words)
    screen.expect(question.encode())
    screen.type(b"\x03")
    status, seen = screen.end()
    assert status == 130
    assert "interrupted: " in seen
    assert "hint: " in seen
    assert "Traceback" not in seen
    after = {path: path.read_bytes() for path in host.folder.rglob("*") if path.is_file() and "db-" not in path.name}
    assert {path: before.get(path) for path in after} == after


def test_an_installation_is_interrupted_at_its_question(tmp_path: Path) -> None:
    file = tmp_path / "invitation.toml"
    file.write_text(GOOD)
    screen = Screen(Host(tmp_path / "host", "inn"), "install", str(file))
    screen.expect(b"Interface name")
    screen.type(b"\x03")
    status, seen = screen.end()
    assert status == 130
    assert "interrupted: it may have joined, or not" in seen
    assert not (tmp_path / "host").exists()


def test_before_anything_has_begun_nothing_is_said_but_that(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\n")
    begun = [sys.executable, "-c", "from innclient.start import begin; begin('inn', 'slow')"]
    done = subprocess.run(begun, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"error: interrupted: nothing was changed [interrupted]\n")
