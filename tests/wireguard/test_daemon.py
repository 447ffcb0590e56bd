"""Which wireguard-go is taken, and what is said of an old one."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from innerd.host import checks
from innerd.wireguard import daemon
from innerd.wireguard.backend import CAP_NET_ADMIN, has_capability
from innerd.wireguard.device import DeviceError
from innerd.wireguard.userspace import UserspaceBackend

NAME = f"ict{os.getpid() % 0xFFFF:x}d"
OLD, NEW = "0.0.20220316", ".".join(map(str, daemon.NEWEST))
needs_tun = pytest.mark.skipif(
    not has_capability(CAP_NET_ADMIN) or not Path("/dev/net/tun").exists(), reason="needs root and /dev/net/tun"
)


@pytest.fixture(autouse=True)
def nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in daemon.CHOSEN_BY:
        monkeypatch.delenv(variable, raising=False)


def saying(path: Path, text: str) -> Path:
    """A program that says a text, whatever it is asked."""
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\n")
    path.chmod(0o755)
    return path


def test_the_one_that_came_with_the_package_is_taken_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "OURS", tmp_path / "wireguard-go")
    assert daemon.wanted() == "wireguard-go"
    saying(tmp_path / "wireguard-go", "")
    assert daemon.program() == str(tmp_path / "wireguard-go")


@pytest.mark.parametrize("variable", daemon.CHOSEN_BY)
def test_one_that_is_named_is_taken_before_all(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "OURS", saying(tmp_path / "ours", ""))
    monkeypatch.setenv(variable, str(saying(tmp_path / "another", "")))
    assert daemon.program() == str(tmp_path / "another")


def test_one_that_is_named_and_not_there_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(daemon.CHOSEN_BY[0], "/nowhere/boringtun")
    assert daemon.program() is None
    if Path("/dev/net/tun").exists():
        with pytest.raises(DeviceError, match="there is no /nowhere/boringtun"):
            UserspaceBackend().create(NAME)


@pytest.mark.parametrize(
    ("says", "release"),
    [
        (f"wireguard-go v{OLD}", (0, 0, 20220316)),
        (f"wireguard-go {NEW}\nUserspace WireGuard daemon", daemon.NEWEST),
        ("boringtun 0.6.0", None),
        ("wireguard-go", None),
        ("", None),
    ],
)
def test_what_it_says_that_it_is(says: str, release: tuple[int, ...] | None, tmp_path: Path) -> None:
    assert daemon.release(saying(tmp_path / "program", says)) == release


def test_what_is_no_program_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    assert daemon.release(tmp_path / "text") is None


def warnings(name: str) -> list[tuple[str, str | None]]:
    found = checks.wireguard(name, "userspace")
    return [(one.text, one.fix) for one in found if re.match(r"wireguard-go \d", one.text)]


@needs_tun
def test_doctor_names_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(daemon.CHOSEN_BY[0], str(saying(tmp_path / "old", f"wireguard-go v{OLD}")))
    ((text, fix),) = warnings(NAME)
    assert f"wireguard-go {OLD} is an old one: {NEW}" in text
    assert fix is not None
    assert "package" in fix
    saying(tmp_path / "old", f"wireguard-go v{NEW}")
    assert warnings(NAME) == []


@pytest.fixture
def up() -> Iterator[UserspaceBackend]:
    made = UserspaceBackend()
    made.create(NAME)
    yield made
    made.delete(NAME)


@pytest.mark.netns
@needs_tun
def test_the_one_that_runs_is_found_and_a_newer_one_is_no_help_to_it(
    up: UserspaceBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = daemon.running(NAME)
    assert running is not None
    assert running.resolve() == Path(daemon.program() or "").resolve()
    assert daemon.running(f"{NAME}x") is None
    is_ = daemon.release(running)
    assert is_ is not None
    monkeypatch.setattr(daemon, "NEWEST", (*is_[:-1], is_[-1] + 1))
    monkeypatch.setenv(daemon.CHOSEN_BY[0], str(saying(tmp_path / "new", "wireguard-go v1.0.0")))
    ((text, fix),) = warnings(NAME)
    assert f"still carries {NAME}" in text
    assert fix is not None
    assert fix.startswith(f"ip link delete {NAME}")
