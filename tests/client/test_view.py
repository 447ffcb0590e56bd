"""What `inn show` says of a network, as data and as text: the device's word on who is reached, never the guess."""

import json

import pytest

from innclient.core.netmap import Netmap
from innclient.core.pins import Pins
from innclient.core.status import network_view, peers_in_sight
from innclient.core.views import Broken, NameState, NetworkView, StatusView
from innclient.verbs import show
from innerd.domain.values import Endpoint
from innerd.wireguard.device import Device, DevicePeer
from tests.client.told import MARI, netmap, peer_json
from tests.world import key

NOW = 10_000.0
OVEN = peer_json(5, "oven", "10.42.64.1", cidr_id=9, is_admin=True)


def device(**handshakes: float) -> Device:
    peers = {
        key(name): DevicePeer(
            public_key=key(name), last_handshake=at, endpoint=Endpoint("192.0.2.4:1"), rx_bytes=5, tx_bytes=6
        )
        for name, at in handshakes.items()
    }
    return Device(listen_port=51820, peers=peers)


def view(device_: Device | None, pins: Pins = Pins(), as_of: float | None = None) -> NetworkView:  # noqa: B008 - a frozen value
    return view_of(netmap(MARI, OVEN), device_, pins, as_of)


def view_of(known: Netmap, device_: Device | None, pins: Pins, as_of: float | None) -> NetworkView:
    return network_view("kermpany", known, list(peers_in_sight(known, pins, device_, NOW)), device_, as_of)


def test_peers_stand_by_address_with_the_cidr_they_belong_to() -> None:
    peers = view(device()).peers
    assert [(p.name, p.ip, p.cidr) for p in peers] == [
        ("coordinator", "10.42.0.1", ""),
        ("oven", "10.42.64.1", ""),
        ("ryo", "10.42.128.1", "humans"),
        ("mari", "10.42.128.2", "humans"),
    ]
    assert [p.name for p in peers if p.is_me] == ["ryo"]
    assert [p.name for p in peers if p.is_admin] == ["oven"]


def test_a_peer_is_reached_by_what_the_device_heard() -> None:
    paths = {p.name: p.path for p in view(device(mari=NOW - 180, oven=NOW - 181, ryo=NOW)).peers}
    assert paths == {"coordinator": "none", "oven": "none", "ryo": "none", "mari": "direct"}


def test_what_the_device_knows_of_a_peer_is_shown() -> None:
    mari = next(p for p in view(device(mari=NOW - 5)).peers if p.name == "mari")
    assert (mari.endpoint, mari.last_handshake, mari.rx_bytes, mari.tx_bytes) == ("192.0.2.4:1", NOW - 5, 5, 6)


def test_a_peer_with_a_changed_key_is_not_among_the_peers() -> None:
    broken = Broken(peer=4, name="mari", ip="10.42.128.2", pinned="a", offered=key("mari"), since=1.0)
    peers = view(device(mari=NOW), Pins({}, {"10.42.128.2": broken})).peers
    assert [p.name for p in peers] == ["coordinator", "oven", "ryo"]


def test_an_interface_that_is_down_shows_what_is_remembered() -> None:
    shown = view(None, as_of=50.0)
    assert (shown.is_up, shown.listen_port, shown.as_of, len(shown.peers)) == (False, 0, 50.0, 4)


def printed(capsys: pytest.CaptureFixture[str], shown: NetworkView, **how: bool) -> list[str]:
    show.as_text(shown, **{"short": False, "tree": False, "whole_keys": False} | how)
    return capsys.readouterr().out.splitlines()


def test_the_own_entry_has_name_key_and_address_only(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, view(device(mari=NOW)))
    assert lines[:2] == ["network: kermpany", "  listening port: 51820"]
    mine = lines.index(f"  peer: ryo ({key('ryo')[:10]}…, you)")
    assert lines[mine + 1 : mine + 3] == ["    ip: 10.42.128.1", f"  peer: mari ({key('mari')[:10]}…)"]
    assert lines[mine + 3 : mine + 5] == ["    ip: 10.42.128.2", "    endpoint: 192.0.2.4:1 (direct)"]
    assert lines[-1] == "    transfer: 5 B received, 6 B sent"


def test_short_is_one_line_a_peer_with_a_mark_for_who_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    shown = network_view(
        "kermpany", netmap(MARI), list(peers_in_sight(netmap(MARI), Pins(), Device(), NOW)), Device(), None
    )
    lines = printed(capsys, shown, short=True)
    assert lines[0].startswith("kermpany (:0)")
    assert lines[2:] == [
        f"  | ◉ 10.42.128.1: ryo (you, {key('ryo')[:10]}…)",
        f"  | ◯ 10.42.128.2: mari ({key('mari')[:10]}…)",
    ]


def test_a_tree_has_peers_below_their_cidr_and_keys_whole_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, view(device()), tree=True, whole_keys=True)
    humans = next(n for n, line in enumerate(lines) if line.strip() == "10.42.128.0/17 humans")
    assert lines[humans + 1].strip() == f"| ◉ 10.42.128.1: ryo (you, {key('ryo')})"


def test_what_may_be_old_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "down" in printed(capsys, view(None, as_of=0.0))[0]
    assert "never heard" in printed(capsys, view(device(), as_of=0.0))[0]
    assert "as of 1970-" in printed(capsys, view(device(), as_of=86_400.0))[0]


def test_json_has_all_networks_and_the_keys_of_a_single_one_at_the_top(capsys: pytest.CaptureFixture[str]) -> None:
    one = view(device(mari=NOW))
    show.as_json([one])
    document = json.loads(capsys.readouterr().out)
    assert document["revision"] == 10
    assert document["networks"][0]["peers"] == document["peers"]
    promised = {"id", "name", "ip", "cidr", "is_admin", "is_disabled", "is_redeemed", "public_key", "endpoint", "path"}
    assert promised | {"last_handshake", "rx_bytes", "tx_bytes"} <= set(document["peers"][0])
    show.as_json([one, one])
    assert len(json.loads(capsys.readouterr().out)["networks"]) == 2


def status(**changes: object) -> StatusView:
    fields: dict = {
        "interface": "kermpany",
        "network": "kermpany",
        "ip": "10.42.128.1",
        "public_key": key("ryo"),
        "backend": "memory",
        "is_up": True,
        "has_agent": True,
        "is_connected": True,
        "connected_since": 1.0,
        "last_contact": 1.0,
        "trouble": None,
        "forked": None,
        "device_error": None,
        "disk_error": None,
        "is_admin": False,
        "online": 1,
        "revision": 10,
        "generation": 1,
        "dns": NameState(mode="hosts", address="127.0.0.153", trouble=None),
        "name": "ryo",
        "domain": "kermpany.wg",
        "applied": 10,
        "peers": 3,
        "reached": 1,
        "refused": [],
        "unreadable": 0,
    }
    return StatusView(**fields | changes)


def test_status_says_what_is_wrong_and_shows_both_keys_of_a_broken_pin(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Broken(peer=4, name="mari", ip="10.42.128.2", pinned="PINNED", offered="OFFERED", since=1.0)
    show.status(status(refused=[broken], forked="the log was rewound", unreadable=2, device_error="no"))
    out = capsys.readouterr().out
    assert out.count("TRUST BROKEN") == 2
    for said in ("the log was rewound", "mari (10.42.128.2)", "PINNED", "OFFERED", "2 peers", "device: no"):
        assert said in out


def test_a_healthy_status_alarms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    show.status(status())
    out = capsys.readouterr().out
    assert "connected since" in out
    assert "BROKEN" not in out
    show.status(status(is_connected=False, trouble="the tunnel is dead"))
    assert "the tunnel is dead" in capsys.readouterr().out
