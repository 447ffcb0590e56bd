"""What every WireGuard backend promises, asked of the one in memory, of wireguard-go and of the kernel alike.

The real ones make real interfaces, down or without routes, under names of this process, and delete them. The
kernel's is asked where the kernel has WireGuard.
"""

import json
import os
import socket
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from ipaddress import ip_address
from itertools import permutations
from pathlib import Path

import pytest

from innerd.domain.values import Endpoint, PublicKey
from innerd.wireguard.backend import Backend, others
from innerd.wireguard.device import Device, DeviceError, NoSuchDevice, Wanted, WantedPeer, clamped
from innerd.wireguard.kernel import KernelBackend
from innerd.wireguard.memory import MemoryBackend
from innerd.wireguard.ownership import claim, is_ours, make, release
from innerd.wireguard.plan import RemovePeer, SetKey, SetPeer, SetPort, plan
from innerd.wireguard.userspace import UserspaceBackend

NAMES = tuple(f"ict{os.getpid() % 0xFFFF:x}{letter}" for letter in "ab")  # short, and of this process alone


def secret(name: str) -> str:
    return clamped(b64encode(sha256(name.encode()).digest()).decode())


def key(name: str) -> PublicKey:
    """Any 32 bytes are a public key to a device."""
    return PublicKey(b64encode(sha256(b"public " + name.encode()).digest()).decode())


A, B, C = key("a"), key("b"), key("c")
ONE, TWO, SIX = "10.42.0.1/32", "10.42.0.2/32", "fd42::1/128"
SEEN, OTHER = Endpoint("203.0.113.9:40001"), Endpoint("[2001:db8::9]:40001")


def _userspace() -> Backend:
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        pytest.skip("wireguard-go needs root and /dev/net/tun")
    return UserspaceBackend()


def _kernel() -> Backend:
    if os.geteuid() != 0 or not KernelBackend().works():
        pytest.skip("this kernel has no WireGuard (tests/tools/run-in-vm has one)")
    return KernelBackend()


REAL = [pytest.param(_userspace, marks=pytest.mark.netns), pytest.param(_kernel, marks=pytest.mark.netns)]
EVERY = [pytest.param(MemoryBackend), *REAL]
real = pytest.mark.parametrize("backend", REAL, indirect=True, ids=["userspace", "kernel"])


@pytest.fixture(params=EVERY, ids=["memory", "userspace", "kernel"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    made: Backend = request.param()
    yield made
    for name in NAMES:
        made.delete(name)


@pytest.fixture
def wg(backend: Backend) -> str:
    """An interface that was just made."""
    backend.create(NAMES[0])
    return NAMES[0]


def peer(public_key: PublicKey, *ips: str, keepalive: int = 25, **more: object) -> WantedPeer:
    return WantedPeer(public_key=public_key, allowed_ips=frozenset(ips), keepalive=keepalive, **more)


def wish(*peers: WantedPeer, private_key: str = secret("us"), port: int | None = None) -> Wanted:
    return Wanted(private_key=private_key, listen_port=port, peers={p.public_key: p for p in peers})


def bring(backend: Backend, interface: str, wanted: Wanted) -> Device:
    """Plan and apply; the device afterwards, on which there is nothing left to plan."""
    backend.apply(interface, plan(backend.get(interface), wanted))
    device = backend.get(interface)
    assert plan(device, wanted) == ()
    return device


def owned(device: Device) -> dict[PublicKey, set[str]]:
    return {k: set(entry.allowed_ips) for k, entry in device.peers.items()}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def test_what_is_wished_for_is_what_is_there(backend: Backend, wg: str) -> None:
    port = free_port()
    device = bring(
        backend,
        wg,
        wish(peer(A, ONE, SIX, endpoint=SEEN), peer(B, keepalive=0, endpoint=OTHER), peer(C, TWO), port=port),
    )
    assert (device.private_key, device.listen_port) == (secret("us"), port)
    assert owned(device) == {A: {ONE, SIX}, B: set(), C: {TWO}}
    assert [device.peers[k].keepalive for k in (A, B, C)] == [25, 0, 25]
    assert [device.peers[k].endpoint for k in (A, B, C)] == [SEEN, OTHER, None]
    assert {entry.last_handshake for entry in device.peers.values()} == {None}


def test_peers_that_are_not_wished_for_go(backend: Backend, wg: str) -> None:
    bring(backend, wg, wish(peer(A, ONE), peer(B, TWO)))
    assert owned(bring(backend, wg, wish(peer(B, TWO)))) == {B: {TWO}}
    assert owned(bring(backend, wg, wish())) == {}


def test_removing_who_is_not_there_is_no_error(backend: Backend, wg: str) -> None:
    bring(backend, wg, wish(peer(A, ONE)))
    backend.apply(wg, [RemovePeer(B), RemovePeer(A), RemovePeer(A)])
    assert owned(backend.get(wg)) == {}


@pytest.mark.parametrize("order", list(permutations((A, B))), ids=["from first", "from second"])
def test_an_address_moves_to_another_peer(backend: Backend, wg: str, order: tuple[PublicKey, PublicKey]) -> None:
    first, second = order
    bring(backend, wg, wish(peer(A, *([ONE] if first == A else [])), peer(B, *([ONE] if first == B else []))))
    device = bring(
        backend, wg, wish(peer(A, *([ONE] if second == A else [])), peer(B, *([ONE] if second == B else [])))
    )
    assert owned(device) == {first: set(), second: {ONE}}


def test_peers_swap_their_addresses(backend: Backend, wg: str) -> None:
    bring(backend, wg, wish(peer(A, ONE), peer(B, TWO), peer(C, SIX)))
    device = bring(backend, wg, wish(peer(A, TWO), peer(B, SIX), peer(C, ONE)))
    assert owned(device) == {A: {TWO}, B: {SIX}, C: {ONE}}


def test_an_address_given_to_another_peer_is_taken_from_the_first(backend: Backend, wg: str) -> None:
    """Why a plan must be in order: the device never has an address twice, the last word counts."""
    bring(backend, wg, wish(peer(A, ONE, TWO)))
    backend.apply(wg, [SetPeer(public_key=B, is_new=True, allowed_ips=frozenset({ONE}), keepalive=0)])
    assert owned(backend.get(wg)) == {A: {TWO}, B: {ONE}}


def test_a_changed_keepalive_changes_nothing_else(backend: Backend, wg: str) -> None:
    before = bring(backend, wg, wish(peer(A, ONE, endpoint=SEEN), peer(B, TWO)))
    after = bring(backend, wg, wish(peer(A, ONE, keepalive=0), peer(B, TWO)))
    assert (after.peers[A].keepalive, after.peers[A].endpoint, after.peers[A].allowed_ips) == (0, SEEN, {ONE})
    assert after.peers[B] == before.peers[B]


@pytest.mark.parametrize(
    ("now", "then", "force", "endpoint"),
    [
        (None, SEEN, False, SEEN),
        (SEEN, None, True, SEEN),
        (SEEN, OTHER, False, SEEN),
        (SEEN, OTHER, True, OTHER),
    ],
    ids=["there was none", "none is wished for", "roaming wins", "an override wins"],
)
def test_an_endpoint_is_set_only_as_planned(backend, wg, now, then, force, endpoint) -> None:
    bring(backend, wg, wish(peer(A, ONE, endpoint=now)))
    device = bring(backend, wg, wish(peer(A, ONE, endpoint=then, force_endpoint=force)))
    assert (device.peers[A].endpoint, device.peers[A].allowed_ips) == (endpoint, {ONE})


def test_a_change_never_brings_back_a_peer_that_went_meanwhile(backend: Backend, wg: str) -> None:
    bring(backend, wg, wish(peer(A, ONE)))
    late = plan(backend.get(wg), wish(peer(A, ONE, keepalive=5)))
    backend.apply(wg, [RemovePeer(A)])
    backend.apply(wg, late)
    assert owned(backend.get(wg)) == {}


def test_a_private_key_comes_back_as_it_is_used(backend: Backend, wg: str) -> None:
    backend.apply(wg, [SetKey(b64encode(b"\xff" * 32).decode())])
    assert backend.get(wg).private_key == b64encode(b"\xf8" + b"\xff" * 30 + b"\x7f").decode()


def test_a_new_private_key_leaves_the_peers(backend: Backend, wg: str) -> None:
    bring(backend, wg, wish(peer(A, ONE, endpoint=SEEN)))
    device = bring(backend, wg, wish(peer(A, ONE), private_key=secret("another")))
    assert (device.private_key, owned(device), device.peers[A].endpoint) == (secret("another"), {A: {ONE}}, SEEN)


def test_no_port_wished_for_leaves_the_one_that_is_there(backend: Backend, wg: str) -> None:
    port = free_port()
    bring(backend, wg, wish(port=port))
    assert bring(backend, wg, wish(peer(A, ONE))).listen_port == port


def test_a_port_that_another_interface_has_is_refused(backend: Backend, wg: str) -> None:
    port, other = free_port(), NAMES[1]
    backend.create(other)
    for number, name in enumerate((wg, other)):  # the kernel binds its socket when the link is up
        backend.configure(name, ip_address(f"198.51.100.{number + 1}"), 32, 1280, routing=False)
    bring(backend, wg, wish(port=port))
    with pytest.raises(DeviceError) as refused:
        backend.apply(other, [SetPort(port)])
    assert refused.value.code == "port_in_use"
    assert backend.get(wg).listen_port == port


def test_an_interface_comes_and_goes(backend: Backend) -> None:
    name = NAMES[0]
    assert not backend.exists(name)
    backend.create(name)
    assert backend.exists(name)
    assert owned(backend.get(name)) == {}
    backend.delete(name)
    assert not backend.exists(name)
    backend.delete(name)


def test_what_is_there_is_not_made_twice(backend: Backend, wg: str) -> None:
    bring(backend, wg, wish(peer(A, ONE)))
    index = backend.index(wg)
    backend.create(wg)
    assert (backend.index(wg), owned(backend.get(wg))) == (index, {A: {ONE}})


def test_an_interface_made_anew_has_another_index_and_nothing_on_it(backend: Backend, wg: str) -> None:
    bring(backend, wg, wish(peer(A, ONE)))
    index = backend.index(wg)
    backend.delete(wg)
    backend.create(wg)
    assert backend.index(wg) != index
    assert owned(backend.get(wg)) == {}


ASKED: dict[str, Callable[[Backend], object]] = {
    "get": lambda backend: backend.get(NAMES[0]),
    "index": lambda backend: backend.index(NAMES[0]),
    "apply": lambda backend: backend.apply(NAMES[0], [RemovePeer(A)]),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_an_interface_that_is_not_there_is_named(backend: Backend, ask: Callable[[Backend], object]) -> None:
    with pytest.raises(NoSuchDevice, match=NAMES[0]):
        ask(backend)


def test_two_hundred_peers_come_and_go(backend: Backend, wg: str) -> None:
    peers = [peer(key(f"{n}"), f"10.42.1.{n}/32", f"fd42::{n:x}/128", endpoint=SEEN) for n in range(1, 201)]
    assert owned(bring(backend, wg, wish(*peers))) == {p.public_key: set(p.allowed_ips) for p in peers}
    moved = [peer(p.public_key, *q.allowed_ips) for p, q in zip(peers, peers[100:] + peers[:100], strict=True)]
    assert owned(bring(backend, wg, wish(*moved))) == {p.public_key: set(p.allowed_ips) for p in moved}
    assert owned(bring(backend, wg, wish())) == {}


def test_what_is_marked_says_whose_it_is_until_it_goes(backend: Backend, wg: str) -> None:
    assert backend.owner(wg) == ""
    backend.mark(wg, "inn of somebody")
    assert backend.owner(wg) == "inn of somebody"
    backend.delete(wg)
    backend.create(wg)
    assert backend.owner(wg) == ""


def test_an_interface_is_claimed_made_and_released(backend: Backend) -> None:
    name = NAMES[0]
    assert not claim(backend, name, "inn", ())
    make(backend, name, "inn")
    assert claim(backend, name, "inn", ())
    release(backend, name, "inn")
    assert not backend.exists(name)


def test_one_that_has_our_key_is_ours_though_it_does_not_say_so(backend: Backend, wg: str) -> None:
    backend.apply(wg, [SetKey(secret("us"))])
    assert claim(backend, wg, "inn", (secret("another"), secret("us")))
    assert is_ours(backend, wg, "inn", ()), "from now on it says so"


FOREIGN: dict[str, tuple[str, str]] = {
    "bare": ("", ""),
    "another's key": ("theirs", ""),
    "the other program's": ("us", "innerd x"),
}


@pytest.mark.parametrize(("holder", "mark"), FOREIGN.values(), ids=FOREIGN)
def test_what_somebody_else_made_is_neither_taken_nor_deleted(
    backend: Backend, wg: str, holder: str, mark: str
) -> None:
    # With a port: wireguard-go takes one by itself when its link is up, which may be later.
    backend.apply(wg, [SetPort(free_port()), *([SetKey(secret(holder))] if holder else [])])
    if mark:
        backend.mark(wg, mark)
    before = backend.get(wg)
    for deed in (claim, release):
        with pytest.raises(DeviceError, match=wg) as refused:
            deed(backend, wg, "inn", (secret("us"),))
        assert refused.value.code == "interface_taken"
    assert (backend.get(wg), backend.owner(wg)) == (before, mark)


# -- of links, so only where there are some -----------------------------------------------------------------------


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def addresses(name: str) -> list[str]:
    (link,) = json.loads(ip("-j", "addr", "show", "dev", name))
    return sorted(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link")


@real
@pytest.mark.usefixtures("backend")
def test_an_interface_of_somebody_else_is_refused_and_left_alone(backend: Backend) -> None:
    name = NAMES[1]
    ip("tuntap", "add", name, "mode", "tun")
    try:
        with pytest.raises(DeviceError, match=name) as refused:
            backend.create(name)
        assert refused.value.code == "interface_taken"
        assert not backend.exists(name)
        backend.delete(name)
        assert json.loads(ip("-j", "link", "show", "dev", name))[0]["ifname"] == name
    finally:
        ip("tuntap", "del", name, "mode", "tun")


@real
@pytest.mark.parametrize(
    ("first", "then", "prefix"),
    [("198.51.100.1", "198.51.100.2", 28), ("2001:db8:42::1", "2001:db8:42::2", 120)],
    ids=["IPv4", "IPv6"],
)
def test_address_and_mtu_are_put_right(backend: Backend, wg: str, first: str, then: str, prefix: int) -> None:
    for _ in range(2):
        backend.configure(wg, ip_address(first), prefix, 1300, routing=False)
    assert addresses(wg) == [f"{first}/{prefix}"]
    backend.configure(wg, ip_address(then), prefix, 1280, routing=False)
    (link,) = json.loads(ip("-j", "link", "show", "dev", wg))
    assert (addresses(wg), link["mtu"], "UP" in link["flags"]) == ([f"{then}/{prefix}"], 1280, True)


@real
def test_an_ipv6_address_may_be_used_at_once(backend: Backend, wg: str) -> None:
    """With duplicate address detection it would be tentative for a second or two, and binding to it fails."""
    address = "2001:db8:42::1"
    backend.configure(wg, ip_address(address), 120, 1280, routing=False)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        bound.bind((address, 0))
        assert bound.getsockname()[0] == address


@real
def test_the_port_of_another_program_is_refused(backend: Backend, wg: str) -> None:
    backend.configure(wg, ip_address("198.51.100.1"), 32, 1280, routing=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        with pytest.raises(DeviceError) as refused:
            backend.apply(wg, [SetPort(taken.getsockname()[1])])
    assert refused.value.code == "port_in_use"


@real
def test_five_thousand_peers_are_set_read_back_and_gone(backend: Backend, wg: str) -> None:
    peers = [
        peer(
            key(f"{n}"),
            f"10.{n >> 8}.{n & 255}.1/32",
            f"fd42::{n + 1:x}/128",
            endpoint=Endpoint(f"203.0.113.9:{n + 1}"),
        )
        for n in range(5000)
    ]
    device = bring(backend, wg, wish(*peers))
    assert {k: (entry.allowed_ips, entry.endpoint) for k, entry in device.peers.items()} == {
        p.public_key: (p.allowed_ips, p.endpoint) for p in peers
    }
    assert len(bring(backend, wg, wish(*peers[1:])).peers) == 4999
    backend.delete(wg)
    assert not backend.exists(wg)


@real
@pytest.mark.usefixtures("backend")
def test_what_the_other_backend_made_for_us_gives_way_and_what_it_made_for_others_does_not(backend: Backend) -> None:
    (other,) = others(backend)
    if other.name == "kernel" and not KernelBackend().works():
        pytest.skip("this kernel has no WireGuard (tests/tools/run-in-vm has one)")
    name = NAMES[1]
    other.create(name)
    try:
        with pytest.raises(DeviceError, match=name):
            claim(backend, name, "inn", (secret("us"),))
        other.apply(name, [SetKey(secret("us"))])
        assert not claim(backend, name, "inn", (secret("us"),))
        assert not other.exists(name)
        make(backend, name, "inn")
        assert backend.owner(name) == f"inn {name}"
    finally:
        other.delete(name)


def test_one_that_is_run_from_elsewhere_is_not_ours_though_name_key_and_program_are(
    backend: Backend, tmp_path: Path
) -> None:
    name, keys = NAMES[0], (secret("us"),)
    here, copy = tmp_path / "lib" / "kermpany.db", tmp_path / "copy" / "kermpany.db"
    make(backend, name, "innerd", here)
    backend.apply(name, [SetKey(secret("us"))])
    for deed in (claim, release):
        with pytest.raises(DeviceError, match=str(here)) as refused:
            deed(backend, name, "innerd", keys, copy)
        assert refused.value.code == "interface_taken"
    assert not is_ours(backend, name, "innerd", keys, copy)
    assert claim(backend, name, "innerd", (), here)
    release(backend, name, "innerd", (), here)


def test_one_that_an_earlier_release_marked_is_whose_log_runs_it(backend: Backend, wg: str, tmp_path: Path) -> None:
    backend.mark(wg, f"innerd {wg}")
    assert claim(backend, wg, "innerd", (), tmp_path / "kermpany.db")
    assert not is_ours(backend, wg, "innerd", (), tmp_path / "copy.db")


def test_a_home_too_long_for_an_alias_is_told_apart_all_the_same(backend: Backend, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["deep" * 20] * 3)
    make(backend, NAMES[0], "innerd", deep / "a.db")
    assert is_ours(backend, NAMES[0], "innerd", (), deep / "a.db")
    assert not is_ours(backend, NAMES[0], "innerd", (), deep / "b.db")
    backend.delete(NAMES[0])
