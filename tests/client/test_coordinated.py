"""`inn` on a coordinator's host says what that host is, at once, whatever is asked."""

from pathlib import Path

import pytest

from innclient import coordinated
from innclient.verbs.doctor import report
from innerd.command import output
from innerd.command.settings import Settings
from innerd.failure import Failure
from innerd.host import checks
from tests.client.commands import Host

SAYS = "this host is the coordinator of kermpany, and no peer"


@pytest.fixture(params=["config", "alias"])
def coordinator(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """As root sees it, and as one sees it who may not look into /etc/innerd."""
    (tmp_path / "innerd").mkdir()
    (tmp_path / "net" / "kermpany").mkdir(parents=True)
    (tmp_path / "net" / "eth0").mkdir()
    (tmp_path / "net" / "eth0" / "ifalias").write_text("uplink\n")
    if request.param == "config":
        (tmp_path / "innerd" / "kermpany.toml").touch()
    else:
        (tmp_path / "net" / "kermpany" / "ifalias").write_text("innerd kermpany /var/lib/innerd/kermpany.db\n")
    monkeypatch.setattr(coordinated, "_CONFIGS", tmp_path / "innerd")
    monkeypatch.setattr(coordinated, "_LINKS", tmp_path / "net")
    return Host(tmp_path, "inn")


@pytest.mark.parametrize(
    "verb", ["show", "status", "fetch", "up", "down", "uninstall", "list-peers", "events", "trust"]
)
def test_a_verb_about_its_network_says_what_the_host_is(coordinator: Host, verb: str) -> None:
    done = coordinator(verb, "kermpany", *(["ryo"] if verb == "trust" else []))
    assert (done.status, done.code) == (4, "network_not_found")
    assert SAYS in done.err
    assert "innerd status kermpany" in done.err


def test_and_so_do_those_about_all_networks(coordinator: Host) -> None:
    assert SAYS[1:] in coordinator.ok("show")
    assert SAYS in coordinator("up").err
    assert SAYS in coordinator("doctor").out


def test_of_another_network_it_says_nothing_of_the_kind(coordinator: Host) -> None:
    done = coordinator("status", "ferment")
    assert (done.status, "coordinator" in done.err) == (4, False)


def test_on_any_other_host_nothing_changes(tmp_path: Path) -> None:
    failure = Failure(4, "network_not_found", "there is none")
    assert coordinated.instead(failure, "kermpany") is failure
    assert coordinated.networks() == []


class _Context:
    """As much of click's as a report needs."""

    def exit(self, status: int) -> None:
        self.status = status


def test_the_findings_of_several_networks_stand_under_their_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    monkeypatch.setattr(output, "line", lambda *parts: said.append("".join(map(str, parts))))
    one = checks.Finding(check="port", state="ok", text="1", network="kermpany")
    two = checks.Finding(check="port", state="ok", text="2", network="ferment")
    host = checks.ok("disk", "room")
    settings = Settings("inn", str(tmp_path), str(tmp_path), str(tmp_path))
    report(_Context(), settings, [host, one, two])  # type: ignore[arg-type]
    assert [line for line in said if line.endswith(":")] == ["kermpany:", "ferment:"]
    assert said.index("kermpany:") < said.index("ferment:")
    said.clear()
    report(_Context(), settings, [host, one])  # type: ignore[arg-type]
    assert [line for line in said if line.endswith(":")] == []
