"""The agent's memory on disk comes back as it was, or is an error: never an empty memory by accident."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from innclient.agent import store
from innclient.agent.shelf import Shelf
from innclient.core.netmap import Netmap, emptied, take_snapshot
from innclient.core.pins import Pins, check
from innclient.paths import Paths
from innerd.failure import TRUST, Failure
from innerd.wire.innernet import CidrJson
from tests.client.support import paths_in
from tests.client.told import COORDINATOR, MARI, ME, known, netmap, peer_json, snapshot
from tests.world import key


def test_nothing_on_disk_is_an_empty_memory(tmp_path: Path) -> None:
    assert store.load_netmap(paths_in(tmp_path)) == (Netmap(), None)
    assert store.load_pins(paths_in(tmp_path)) == Pins()


SIX = take_snapshot(
    netmap(),
    snapshot(
        peer_json(4, "mari", "fd00::8", endpoint="[2001:db8::1]:51820", is_admin=True),
        peer_json(5, "no name", "fd00::9"),
        cidrs=[CidrJson(id=1, name="kermpany", cidr="fd00::/64", parent=None)],
    ),
)


@pytest.mark.parametrize(
    "known_map",
    [
        pytest.param(netmap(MARI), id="a network"),
        pytest.param(SIX, id="IPv6, an endpoint, an admin, a refused peer"),
        pytest.param(emptied(netmap(MARI), "disabled"), id="shut out"),
        pytest.param(Netmap(), id="nothing"),
    ],
)
def test_a_netmap_comes_back_as_it_was(tmp_path: Path, known_map: Netmap) -> None:
    paths = paths_in(tmp_path)
    Shelf(paths).save_netmap(known_map, 1234.5)
    assert store.load_netmap(paths) == (known_map, 1234.5)


def test_pins_and_their_breaks_come_back_as_they_were(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    pins = check(Pins(), [known(4, "mari", "10.42.128.2"), known(5, "oven", "fd00::8")], 100.0)
    pins = check(pins, [known(4, "mari", "10.42.128.2", public_key=key("other"))], 200.0)
    store.save_pins(paths, pins)
    assert store.load_pins(paths) == pins


def test_the_memory_is_private(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    Shelf(paths).save_netmap(netmap(MARI), 0.0)
    store.save_pins(paths, Pins())
    assert {path.stat().st_mode & 0o777 for path in paths.data.iterdir()} == {0o600}
    assert paths.data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"version": 1, "pins": {"keys": {"10.42.12', id="torn"),
        pytest.param(b"{}", id="another document"),
        pytest.param(b'{"version":"1","peers":[],"cidrs":[]}', id="innernet's cache"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"[]", id="a list"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    paths = paths_in(tmp_path)
    paths.data.mkdir(parents=True)
    paths.netmap.write_bytes(content)
    paths.pins.write_bytes(content)
    for path, load in ((paths.netmap, store.load_netmap), (paths.pins, store.load_pins)):
        with pytest.raises(Failure) as failed:
            load(paths)
        assert (failed.value.status, failed.value.code) == (TRUST, "state_unreadable")
        assert str(path) in failed.value.message


def edited(paths, **peer: object) -> None:
    content = msgspec.json.decode(paths.netmap.read_bytes())
    content["peers"][0] |= peer
    paths.netmap.write_bytes(msgspec.json.encode(content))


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param({"ip": "everywhere"}, id="an address"),
        pytest.param({"name": "mari\n10.0.0.1 bank.example"}, id="a name"),
        pytest.param({"public_key": "AAAA"}, id="a key"),
    ],
)
def test_a_value_that_was_edited_to_nonsense_is_damage(tmp_path: Path, peer: dict) -> None:
    paths = paths_in(tmp_path)
    Shelf(paths).save_netmap(take_snapshot(Netmap(), snapshot(COORDINATOR, ME)), 0.0)
    edited(paths, **peer)
    assert str(paths.netmap) in (store.damage(paths) or "")
    left = store.load_netmap(paths)[0]
    assert (dict(left.peers), left.revision, left.is_emptied) == ({}, 10, True)


def test_a_file_of_a_later_version_is_not_guessed_at(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    store.save_pins(paths, Pins())
    paths.pins.write_bytes(paths.pins.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(Failure):
        store.load_pins(paths)


DAMAGED = {
    "torn": b'{"version":1,"saved":1.0,"network":"kermp',
    "empty": b"",
    "bytes": b"\0" * 100,
    "a name that is none": b'{"name":"a b"}',
}
SEEN = netmap(MARI)


def lost(paths: Paths, content: bytes | None = b"\0") -> None:
    """A memory of a network, whose cache is damaged then, or gone."""
    Shelf(paths).save_netmap(SEEN, 5.0)
    paths.netmap.unlink()
    if content is not None:
        paths.netmap.write_bytes(content)


@pytest.mark.parametrize("content", [*DAMAGED.values(), None], ids=[*DAMAGED, "gone"])
def test_a_damaged_cache_leaves_how_far_the_log_was_seen_and_is_told_anew(
    tmp_path: Path, content: bytes | None
) -> None:
    paths = paths_in(tmp_path)
    lost(paths, content)
    left, saved = store.load_netmap(paths)
    assert (left.network, left.network_id, left.suffix) == (SEEN.network, SEEN.network_id, SEEN.suffix)
    assert (left.generation, left.revision, left.head_hash) == (SEEN.generation, SEEN.revision, SEEN.head_hash)
    assert (dict(left.peers), left.cursor, saved) == ({}, None, None)


def test_a_cache_that_is_older_than_what_was_seen_is_told_anew(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    Shelf(paths).save_netmap(SEEN, 5.0)
    before = paths.netmap.read_bytes()
    Shelf(paths).save_netmap(replace(SEEN, revision=SEEN.revision + 9), 6.0)
    paths.netmap.write_bytes(before)
    left = store.load_netmap(paths)[0]
    assert (left.revision, left.cursor) == (SEEN.revision + 9, None)


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_head_beside_a_good_cache_hinders_nothing(tmp_path: Path, content: bytes) -> None:
    paths = paths_in(tmp_path)
    Shelf(paths).save_netmap(SEEN, 5.0)
    paths.head.write_bytes(content)
    assert store.load_netmap(paths) == (SEEN, 5.0)


def test_what_is_lost_is_told_with_or_without_harm(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    assert store.damage(paths) is None
    lost(paths)
    assert str(paths.netmap) in (store.damage(paths) or "")
    paths.pins.write_bytes(b"")
    with pytest.raises(Failure) as failed:
        store.damage(paths)
    assert failed.value.status == TRUST
    unit = Path(__file__).parents[2] / "deploy/systemd/inn@.service"
    (never,) = [line for line in unit.read_text().splitlines() if line.startswith("RestartPreventExitStatus=")]
    assert str(TRUST) in never.partition("=")[2].split(), "trying again would not mend it"
