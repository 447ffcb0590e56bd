"""What the host's resolver is told, by which way, and that all of it is undone: the programs are stand-ins that write
down how they were called. (systemd-resolved itself: tests/systemd/test_names.py.)"""

from pathlib import Path

import pytest

from innclient.names import resolver
from innclient.names.resolver import Mode, Refusal, Setting, put, undo, usual

DOMAINS = ("kermpany.wg", "42.10.in-addr.arpa")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with stand-ins for the programs, and files of its own."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "dnsmasq.d").mkdir()
    monkeypatch.setattr(resolver, "_DNSMASQ", tmp_path / "dnsmasq.d")

    monkeypatch.setattr(resolver, "_ROOT", tmp_path)
    return tmp_path


def program(host: Path, name: str, status: int = 0, says: str = "") -> None:
    path = host / "bin" / name
    path.write_text(
        f'#!/bin/sh\necho "{name} $*" >> {host}/calls\n/bin/cat >> {host}/given\necho "{says}" >&2\nexit {status}\n'
    )
    path.chmod(0o755)


def calls(host: Path) -> list[str]:
    path = host / "calls"
    return path.read_text().splitlines() if path.exists() else []


def file(host: Path, path: str, text: str) -> None:
    real = host / path.lstrip("/")
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_text(text)


def setting(mode: Mode) -> Setting:
    return Setting(mode=mode, interface="home", server="127.0.0.153", domains=DOMAINS)


def test_resolved_is_told_for_the_link_alone_and_reverted(host: Path) -> None:
    program(host, "resolvectl")
    put(setting("resolved"), host / "record")
    assert calls(host) == [
        "resolvectl dns home 127.0.0.153",
        "resolvectl domain home ~kermpany.wg ~42.10.in-addr.arpa",
        "resolvectl default-route home false",
        *(f"resolvectl {what} home no" for what in ("llmnr", "mdns", "dnssec", "dnsovertls")),
        "resolvectl flush-caches",
    ]
    assert undo(host / "record") == setting("resolved")
    assert calls(host)[-2:] == ["resolvectl revert home", "resolvectl flush-caches"]
    assert undo(host / "record") is None, "once"


def test_network_managers_dnsmasq_gets_a_file_of_ours(host: Path) -> None:
    program(host, "nmcli")
    put(setting("networkmanager"), host / "record")
    ours = host / "dnsmasq.d/inn-home.conf"
    assert ours.read_text() == "server=/kermpany.wg/127.0.0.153\nserver=/42.10.in-addr.arpa/127.0.0.153\n"
    undo(host / "record")
    assert not ours.exists()
    assert calls(host) == ["nmcli general reload dns-full"] * 2


def test_resolvconf_gets_an_entry_that_is_private_to_its_domains(host: Path) -> None:
    program(host, "resolvconf")
    put(setting("resolvconf"), host / "record")
    undo(host / "record")
    assert calls(host) == ["resolvconf -p -a home.inn", "resolvconf -f -d home.inn"]
    assert (host / "given").read_text().startswith("nameserver 127.0.0.153\ndomain kermpany.wg\n")


def test_what_refuses_is_undone_and_says_why(host: Path) -> None:
    program(host, "resolvectl", 1, "Failed to set DNS configuration: Access denied")
    with pytest.raises(Refusal, match="Access denied"):
        put(setting("resolved"), host / "record")
    assert not (host / "record").exists()
    assert "resolvectl revert home" in calls(host)


def test_a_program_that_is_not_there_is_a_refusal(host: Path) -> None:
    with pytest.raises(Refusal, match="there is no resolvectl"):
        put(setting("resolved"), host / "record")


def test_a_record_that_can_not_be_read_is_nothing_to_undo(host: Path) -> None:
    file(host, "record", "{broken")
    assert undo(host / "record") is None


RESOLVED, MANAGER = "/run/systemd/resolve/stub-resolv.conf", "/run/NetworkManager/state"
MAIN, CONF_D = "/etc/NetworkManager/NetworkManager.conf", "NetworkManager/conf.d"
ASKS = "nameserver 192.0.2.1\n"
_R, _D, _N = ("resolvectl",), "[main]\ndns=dnsmasq\n", "[main]\ndns=none\n"
HOSTS: dict[str, tuple[dict[str, str], tuple[str, ...], Mode]] = {
    "nothing special": ({"/etc/resolv.conf": "nameserver 192.0.2.1\n"}, (), "hosts"),
    "a resolvconf that feeds no resolver": ({"/etc/resolvconf.conf": "resolv_conf=/x\n"}, ("resolvconf",), "hosts"),
    "a resolvconf that feeds unbound": ({"/etc/resolvconf.conf": "unbound_conf=/x\n"}, ("resolvconf",), "resolvconf"),
    "resolved by its stub": ({RESOLVED: "", "/etc/resolv.conf": "nameserver 127.0.0.53\n"}, _R, "resolved"),
    "resolved by nsswitch": ({RESOLVED: "", "/etc/nsswitch.conf": "hosts:files resolve dns\n"}, _R, "resolved"),
    "a stub in a comment": ({RESOLVED: "", "/etc/resolv.conf": f"# nameserver 127.0.0.53\n{ASKS}"}, _R, "hosts"),
    "a stub in another one": ({RESOLVED: "", "/etc/resolv.conf": f"; use 127.0.0.53 ?\n{ASKS}"}, _R, "hosts"),
    "a stub behind a server": ({RESOLVED: "", "/etc/resolv.conf": f"{ASKS[:-1]} # 127.0.0.53\n"}, _R, "hosts"),
    "a stub that is no server": ({RESOLVED: "", "/etc/resolv.conf": f"search 127.0.0.53\n{ASKS}"}, _R, "hosts"),
    "resolve in a comment": ({RESOLVED: "", "/etc/nsswitch.conf": "hosts: files dns # resolve\n"}, _R, "hosts"),
    "resolve for others": ({RESOLVED: "", "/etc/nsswitch.conf": "passwd: resolve\nhosts: files\n"}, _R, "hosts"),
    "dnsmasq": ({MANAGER: "", MAIN: "[main]\nplugins=x\ndns = dnsmasq\n"}, (), "networkmanager"),
    "dnsmasq in a comment": ({MANAGER: "", MAIN: "[main]\n#dns=dnsmasq\n"}, (), "hosts"),
    "dnsmasq in another section": ({MANAGER: "", MAIN: "[main]\n[device]\ndns=dnsmasq\n"}, (), "hosts"),
    "dnsmasq by the vendor": ({MANAGER: "", f"/usr/lib/{CONF_D}/a.conf": _D}, (), "networkmanager"),
    "dnsmasq for now": ({MANAGER: "", f"/run/{CONF_D}/a.conf": _D}, (), "networkmanager"),
    "the vendor's is hidden": (
        {MANAGER: "", f"/usr/lib/{CONF_D}/a.conf": _D, f"/etc/{CONF_D}/a.conf": ""},
        (),
        "hosts",
    ),
    "a later one counts": ({MANAGER: "", MAIN: _D, f"/etc/{CONF_D}/z.conf": "[main]\ndns=none\n"}, (), "hosts"),
    "the main one before the vendor": ({MANAGER: "", MAIN: _D, f"/run/{CONF_D}/z.conf": _N}, (), "networkmanager"),
    "one that is no configuration": ({MANAGER: "", MAIN: "dns=dnsmasq\n[main\n"}, (), "hosts"),
}


@pytest.mark.parametrize(("files", "programs", "mode"), HOSTS.values(), ids=HOSTS)
def test_the_way_is_chosen_by_what_the_host_has(
    host: Path, files: dict[str, str], programs: tuple[str, ...], mode: Mode
) -> None:
    for path, text in files.items():
        file(host, path, text)
    for name in programs:
        program(host, name)
    assert usual() == mode
