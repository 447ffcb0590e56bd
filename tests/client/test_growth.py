"""What a change costs must not grow with the network: counted, not timed, on a small one and on one of thousands."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from innclient.agent.paths import now
from innclient.agent.session import Session
from innclient.core import events as e
from innclient.core import trials
from innclient.names.publisher import NameSettings
from innerd.domain.values import Address
from innerd.host import files
from innerd.wire.stream import DeltaJson, PeerPresence, PresenceJson
from innerd.wireguard.plan import Change
from tests.client.support import session_at
from tests.client.told import hello, peer_json, snapshot

SMALL, LARGE = 40, 4_000


class Costs:
    """What an agent wrote, changed on its device, and made, since it was asked last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counted: Counter[str] = Counter()
        whole, append, only = files.write_atomically, files.append, trials.only

        def counting_write(path: Path, data: bytes, mode: int = 0o600) -> None:
            self.counted["bytes"] += len(data)
            whole(path, data, mode)

        def counting_append(path: Path, data: bytes, mode: int | None = None, *, sync: bool = False) -> int:
            self.counted["bytes"] += len(data)
            return append(path, data, mode, sync=sync)

        def counting_entry(ip: Address) -> frozenset[str]:
            self.counted["entries made"] += 1
            return only(ip)

        monkeypatch.setattr(files, "write_atomically", counting_write)
        monkeypatch.setattr(files, "append", counting_append)
        monkeypatch.setattr(trials, "only", counting_entry)

    def watch(self, session: Session) -> None:
        change, get = session.tunnel.change, session.tunnel.get

        def counting_change(changes: tuple[Change, ...]) -> None:
            self.counted["device changes"] += len(changes)
            change(changes)

        def counting_get() -> object:
            self.counted["looks at the device"] += 1
            return get()

        session.tunnel.change = counting_change  # type: ignore[method-assign, assignment]
        session.tunnel.get = counting_get  # type: ignore[method-assign, assignment]

    def taken(self) -> dict[str, int]:
        found, self.counted = dict(self.counted), Counter()
        return found


def address(number: int) -> str:
    return f"127.42.{number >> 8}.{number & 255}"


def peer(number: int, **more: object) -> Struct:
    return peer_json(number, f"peer-{number:05}", address(number), **more)


def changes(size: int) -> Iterator[tuple[str, list[Struct]]]:
    """Of the same peers, whatever the size."""
    seen = PeerPresence(peer=22, endpoint="203.0.113.9:1000", candidates=[], online=True)
    yield "renamed", [delta(11, peers=[peer_json(20, "somebody", address(20), public_key=peer(20).public_key)])]  # type: ignore[attr-defined]
    yield "added", [delta(12, peers=[peer(9_999)])]
    yield "gone", [delta(13, gone=[21])]
    yield "seen", [PresenceJson(whole=False, peers=[seen])]
    yield "nothing", [delta(14)]


def delta(revision: int, **told: object) -> DeltaJson:
    return DeltaJson(revision=revision, head_hash=f"h{revision}", **told)  # type: ignore[arg-type]


async def hears(session: Session, *frames: Struct) -> None:
    """All that comes of it, to the disk; its receipts are heard."""
    await session._feed(e.Told(list(frames)))
    await session.settle(reports=False)
    for command in session.agent.handle(e.Reported(is_heard=True), now()):
        session.aside.put(command)
    await session.settle(reports=False)


async def costs_of(size: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, int]]:
    costs = Costs(monkeypatch)
    names = NameSettings(path=folder / "hosts", suffix=None, write=False)
    session = session_at(folder, "peer-00003", address(3), 51820, names=names)
    costs.watch(session)
    await session.bring_up()
    await session._feed(e.Opened())
    everybody = [peer(number) for number in range(1, size)]
    await hears(session, hello(peer=3), snapshot(*everybody), PresenceJson(whole=True, peers=[]))
    costs.taken()
    found = {}
    for what, frames in changes(size):
        await hears(session, *frames)
        found[what] = costs.taken()
        assert session.agent.memory._on_disk is session.netmap
    await session.close()
    return found


async def test_what_a_change_costs_a_peer_does_not_grow_with_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as one:
        small = await costs_of(SMALL, tmp_path / "small", one)
    with monkeypatch.context() as other:
        large = await costs_of(LARGE, tmp_path / "large", other)
    for what, cost in small.items():
        for thing in cost.keys() | large[what].keys():
            if thing == "looks at the device":
                continue  # as many as are cheap
            # A line says its own length and a few digits more.
            assert abs(large[what].get(thing, 0) - cost.get(thing, 0)) <= 8, (what, thing, cost, large[what])
