"""A coordinator that lies, babbles or is broken: the agent goes on, and nothing of it reaches device or names."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from innclient.agent.keeper import Keeper
from innclient.agent.run import cycle
from innclient.failures import UNREACHABLE, Failure
from innerd.wire.innernet import CidrJson, PeerJson
from innerd.wire.stream import Bye, DeltaJson
from tests.client.liar import OPEN, Liar, presence, told
from tests.client.support import COORDINATOR, eventually, hosts_of, keeper_at, on_device
from tests.client.told import hello, peer_json, snapshot
from tests.world import key

RYO, MARI, OVEN = "127.42.128.1", "127.42.128.2", "127.42.64.1"
ROOT = CidrJson(id=1, name="kermpany", cidr="127.42.0.0/16", parent=None)
SERVER = peer_json(1, "coordinator", COORDINATOR, cidr_id=2, endpoint="192.0.2.1:51820")
HONEST = [SERVER, peer_json(3, "ryo", RYO), peer_json(4, "mari", MARI)]


def state(*peers: PeerJson, revision: int = 10, cidrs: list[CidrJson] | None = None) -> bytes:
    """A whole stream up to and with its presence: all of it in one piece."""
    shot = snapshot(*peers, revision=revision, cidrs=[ROOT] if cidrs is None else cidrs)
    return OPEN + told(hello(head=revision), shot, presence())


def delta(**changes: object) -> bytes:
    return told(DeltaJson(**{"revision": 11, "head_hash": "h11"} | changes), presence(whole=False))


@contextlib.asynccontextmanager
async def agent_of(liar: Liar, folder: Path) -> AsyncIterator[tuple[Keeper, "asyncio.Task[None]"]]:
    """A keeper that has seen nothing yet and runs; at the end it must still run."""
    async with liar.listening() as port:
        keeper = keeper_at(folder, "ryo", RYO, port)
        await keeper.bring_up()
        task = asyncio.create_task(keeper.run())
        try:
            yield keeper, task
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def deep(depth: int) -> bytes:
    return b'event: delta\ndata: {"revision":11,"head_hash":"","x":' + b"[" * depth + b"]" * depth + b"}\n\n"


GARBAGE = {
    "no HTTP": b"\x00\xff\n\n",
    "nothing at all": b"",
    "an error that is no problem document": b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
    "elsewhere": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "a refusal with a newline": b'HTTP/1.1 401 No\r\nContent-Length: 15\r\n\r\n{"code":"x\\ny"}',
    "a frame that is no JSON": OPEN + b"event: hello\ndata: {]\n\n",
    "a frame of another shape": OPEN + b"event: snapshot\ndata: 7\n\n",
    "text for a number": OPEN + b'event: delta\ndata: {"revision":"' + b"9" * 99 + b'"}\n\n',
    "bytes": OPEN + b"data: \xff\xfe\n\nevent: hello\ndata: \xff\xfe\n\n",
    "a frame that never ends": OPEN + b"event: delta\ndata: " + b"x" * 100_000,
    "a frame as deep as a well": OPEN + deep(100_000),
    "a network whose name is no name": OPEN + told(hello(network="a b\n"), presence()),
    "a suffix with a newline": OPEN + told(hello(suffix="wg\n6.6.6.6 bank.example"), presence()),
    "no suffix": OPEN + told(hello(suffix=""), presence()),
    "a CIDR of nothing": state(*HONEST, cidrs=[CidrJson(id=1, name="kermpany", cidr="everything", parent=None)]),
    "a revision out of this world": OPEN + delta(revision=2**70) + told(hello()),
    "a goodbye while shutting down": state(*HONEST) + told(Bye(reason="shutting_down")),
    "a goodbye for a newer stream": state(*HONEST) + told(Bye(reason="replaced")),
    "a goodbye nobody knows": state(*HONEST) + told(Bye(reason="tired\n")),
}


async def survive(garbage: bytes, folder: Path) -> None:
    """The garbage on the first stream, cut off; the truth on the next ones."""
    liar = Liar(garbage.removesuffix(b"\n\n") + b"\n\n\0", state(*HONEST))
    async with agent_of(liar, folder) as (keeper, task):
        asked = asyncio.create_task(liar.asked(2))
        await asyncio.wait((asked, task), return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task.exception()
        await asked
        await eventually(lambda: on_device(keeper) == {key("coordinator"), key("mari")})


async def test_the_agent_asks_again_after_garbage_and_takes_the_truth_when_it_comes(tmp_path: Path) -> None:
    """All at once, each with an agent of its own: an agent waits before it asks again."""
    trials = [survive(garbage, tmp_path / str(number)) for number, garbage in enumerate(GARBAGE.values())]
    outcomes = dict(zip(GARBAGE, await asyncio.gather(*trials, return_exceptions=True), strict=True))
    assert {name: outcome for name, outcome in outcomes.items() if outcome is not None} == {}


async def test_a_frame_without_end_is_cut_off(tmp_path: Path) -> None:
    """The bound is 64 MiB. A parser that looks at all of it again with every chunk takes ten times longer than this."""
    liar = Liar(OPEN + b"event: snapshot\ndata: " + b" " * (65 << 20), state(*HONEST))
    async with agent_of(liar, tmp_path) as (keeper, _):
        await liar.asked(2, within=5)
        await eventually(lambda: key("mari") in on_device(keeper))


HOSTILE_PEERS = [
    pytest.param(peer_json(9, "oven\n6.6.6.6 bank.example", OVEN), id="a newline in a name"),
    pytest.param(peer_json(9, "\x1b[2Joven", OVEN), id="an escape sequence in a name"),
    pytest.param(peer_json(9, "eve", RYO), id="our own address given to another"),
    pytest.param(peer_json(9, "eve", MARI), id="mari's address given to another"),
    pytest.param(peer_json(9, "eve", COORDINATOR), id="the coordinator's address given to another"),
    pytest.param(peer_json(9, "eve", "0.0.0.0/0"), id="every address"),
    pytest.param(peer_json(9, "eve", OVEN, public_key=key("ryo")), id="our own key given to another"),
    pytest.param(peer_json(9, "eve", OVEN, public_key=key("coordinator")), id="the coordinator's key given to another"),
    pytest.param(peer_json(9, "eve", OVEN, public_key="AAAA"), id="no key"),
    pytest.param(peer_json(4, "mari", MARI, public_key=key("eve")), id="another key for mari"),
    pytest.param(peer_json(3, "ryo", RYO, public_key=key("eve")), id="another key for ourselves"),
]


@pytest.mark.parametrize("bad", HOSTILE_PEERS)
async def test_what_a_peer_may_not_be_told_changes_neither_device_nor_names(bad: PeerJson, tmp_path: Path) -> None:
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (keeper, _):
        await eventually(lambda: keeper.applied == 10)
        await liar.say(delta(peers=[bad]))
        await eventually(lambda: keeper.applied == 11)
        allowed = {k: sorted(p.allowed_ips) for k, p in keeper.tunnel.get().peers.items()}
        assert allowed in (
            {key("coordinator"): [f"{COORDINATOR}/32"], key("mari"): [f"{MARI}/32"]},
            {key("coordinator"): [f"{COORDINATOR}/32"]},  # mari may go: the coordinator may always hide her
        )
        lines = {line for line in hosts_of(keeper).splitlines() if not line.startswith("#")}
        honest = {f"{COORDINATOR} coordinator.kermpany.wg", f"{RYO} ryo.kermpany.wg", f"{MARI} mari.kermpany.wg"}
        assert lines <= honest | {f"{OVEN} eve.kermpany.wg"}  # a name for a free address is the coordinator's to give


async def test_our_own_address_for_another_is_refused_even_as_the_first_thing_told(tmp_path: Path) -> None:
    liar = Liar(state(SERVER, peer_json(9, "eve", RYO), peer_json(4, "mari", MARI)))
    async with agent_of(liar, tmp_path) as (keeper, _):
        await eventually(lambda: keeper.applied == 10)
        assert on_device(keeper) == {key("coordinator"), key("mari")}


async def test_what_was_refused_is_reported(tmp_path: Path) -> None:
    bad = [peer_json(9, "no name", OVEN), peer_json(4, "mari", MARI, public_key=key("eve"))]
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (keeper, _):
        await eventually(lambda: keeper.applied == 10)
        await liar.say(delta(peers=bad))
        await eventually(lambda: len(liar.reports) == 2)
    refused = [{"peer": 4, "reason": "pin"}, {"peer": 9, "reason": "invalid_name"}]
    assert liar.reports[1] == ("/v1/user/applied", {"revision": 11, "refused": refused})


async def test_a_rewound_log_changes_nothing_and_is_said(tmp_path: Path) -> None:
    lost = state(*HONEST, revision=10).removesuffix(b"\n\n") + b"\n\n\0"
    liar = Liar(lost, state(SERVER, peer_json(3, "ryo", RYO), revision=8))
    async with agent_of(liar, tmp_path) as (keeper, _):
        await eventually(lambda: keeper.forked is not None)
        assert "rewound" in (keeper.forked or "")
        assert key("mari") in on_device(keeper)


@pytest.mark.parametrize("reason", ["shutting_down", "disabled"])
async def test_one_cycle_that_is_told_goodbye_fails_as_a_command_does(reason: str, tmp_path: Path) -> None:
    liar = Liar(OPEN + told(hello(), Bye(reason=reason)))
    async with liar.listening() as port:
        with pytest.raises(Failure) as failed:
            await cycle(keeper_at(tmp_path, "ryo", RYO, port))
    assert failed.value.status in (UNREACHABLE, 3)
    assert reason in failed.value.message or reason == "disabled"
