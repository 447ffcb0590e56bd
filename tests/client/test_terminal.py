"""On a terminal what is missing is asked for, on stderr; what is destructive is not done by default."""

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.commands import Host
from tests.client.conftest import NETWORK
from tests.client.test_hostile_invitations import GOOD

BIN = Path(sys.executable).parent
ENTER = b"\r"


class Terminal:
    """A command whose stdin and stderr are a terminal; its stdout is a pipe, as in `inn … | jq`."""

    def __init__(self, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "xterm"}
        self.process = subprocess.Popen(command, stdin=slave, stderr=slave, stdout=subprocess.PIPE, env=env)
        os.close(slave)
        self.seen = b""

    def expect(self, text: str) -> None:
        """Read until a text is on the terminal; what is before it is done with."""
        end = time.monotonic() + 20
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{text!r} was never on the terminal: {self.seen!r}"
            chunk = self._read()
            assert chunk, f"it ended before {text!r}: {self.seen!r}"
            if b"\x1b[6n" in chunk:
                os.write(self._master, b"\x1b[1;1R")  # where the cursor is: terminals answer that
            self.seen += chunk
        self.seen = self.seen.partition(text.encode())[2]

    def _read(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return b""

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> tuple[int, str]:
        """Exit status and stdout."""
        while chunk := self._read():
            self.seen += chunk
        assert self.process.stdout is not None
        return self.process.wait(timeout=20), self.process.stdout.read().decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self._master)


@contextlib.contextmanager
def terminal(host: Host, *args: str) -> Iterator[Terminal]:
    made = Terminal([str(BIN / host.program), *host.flags, *args])
    try:
        yield made
    finally:
        made.close()


def test_what_is_missing_for_a_cidr_is_asked_in_innernets_order(host: Host) -> None:
    with terminal(host, "add-cidr", NETWORK) as person:
        person.expect("Parent CIDR")
        person.expect("cats")
        person.type(ENTER)  # the first: humans; the infra CIDR is not offered, and the root comes last
        person.expect("Name")
        person.type(b"Bakers" + ENTER)
        person.expect("not a host name")  # said at once, and asked again
        person.type(b"\x7f" * 6 + b"bakers" + ENTER)
        person.expect("CIDR")
        person.type(b"10.42.128.0/24" + ENTER)
        person.expect("would move")
        person.expect('Add CIDR "bakers" (10.42.128.0/24) to humans?')
        person.type(b"y")
        status, out = person.end()
    assert status == 0
    assert out.startswith('CIDR "bakers" (10.42.128.0/24) added to humans.\n')


@pytest.mark.parametrize(("answer", "gone"), [(ENTER, False), (b"n", False), (b"y", True)], ids=["enter", "no", "yes"])
def test_a_deletion_asks_and_enter_is_no(host: Host, answer: bytes, gone: bool) -> None:
    with terminal(host, "delete-peer", NETWORK, "--name", "tama") as person:
        person.expect('Delete peer "tama"?')
        person.type(answer)
        status, out = person.end()
    names = {peer["name"] for peer in host.json("list-peers", NETWORK)["peers"]}
    assert ("tama" not in names) is gone
    assert (status == 0) is gone
    assert bool(out) is gone


def test_an_interrupted_question_changes_nothing_and_ends_with_130(host: Host) -> None:
    with terminal(host, "retire-peer", NETWORK, "--name", "mari") as person:
        person.expect("for good?")
        person.type(b"\x03")
        assert person.end() == (130, "")
    assert "mari" in {peer["name"] for peer in host.json("list-peers", NETWORK)["peers"]}


def test_only_the_document_is_on_stdout_where_questions_are_asked(host: Host) -> None:
    with terminal(host, "rename-peer", NETWORK, "--name", "mari", "--json") as person:
        person.expect("New name")
        person.type(b"-laptop" + ENTER)
        person.expect("?")
        person.type(b"y")
        status, out = person.end()
    assert status == 0
    assert out.startswith("{")
    assert '"name": "mari-laptop"' in out


@pytest.mark.skipif(os.geteuid() != 0, reason="inn install needs root")
def test_what_an_invitation_takes_is_asked_for_and_not_given_by_default(tmp_path: Path) -> None:
    file = tmp_path / "invitation.toml"
    file.write_text(GOOD.replace("10.66.", "8.8."))
    with terminal(Host(tmp_path / "host", "inn"), "install", str(file), "--default-name") as person:
        person.expect("8.8.0.0/16 is not private")
        person.expect("Take it all the same?")
        person.type(ENTER)
        assert person.end() == (130, "")
    assert not (tmp_path / "host").exists()
