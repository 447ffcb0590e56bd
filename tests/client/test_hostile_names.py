"""A coordinator that would name or place what is not its own: hosts files and devices are told of one network only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from innclient import config
from innclient.agent.session import Session
from innclient.agent.views import status
from innclient.core.netmap import Netmap, greet
from innclient.core.views import refused_domain
from innclient.paths import Paths
from innerd.domain.errors import Refused
from innerd.wire.innernet import CidrJson, PeerJson
from innerd.wire.stream import DeltaJson
from tests.client.liar import OPEN, Liar, presence, told
from tests.client.support import COORDINATOR, eventually, hosts_of, on_device, session_at
from tests.client.told import hello, peer_json, snapshot
from tests.world import key

RYO, MARI = "127.42.128.1", "127.42.128.2"
ROOT = CidrJson(id=1, name="kermpany", cidr="127.42.0.0/16", parent=None)
HONEST = [
    peer_json(1, "coordinator", COORDINATOR, cidr_id=2, endpoint="192.0.2.1:51820"),
    peer_json(3, "ryo", RYO),
    peer_json(4, "mari", MARI),
]
NAMES = {f"{COORDINATOR} coordinator.kermpany.wg", f"{RYO} ryo.kermpany.wg", f"{MARI} mari.kermpany.wg"}
ENDLESS = ".".join(["a"] * 100_000)


def state(*peers: PeerJson, revision: int = 10, **said: str) -> bytes:
    shot = snapshot(*peers, revision=revision, cidrs=[ROOT])
    return OPEN + told(hello(head=revision, cursor_hash="head", **said), shot, presence())


def cut(script: bytes) -> bytes:
    """The same stream, closed after its last frame."""
    return script + b"\0"


@contextlib.asynccontextmanager
async def agent_of(liar: Liar, folder: Path) -> AsyncIterator[Session]:
    """An agent that must still run at the end."""
    async with liar.listening() as port:
        session = session_at(folder, "ryo", RYO, port)
        await session.bring_up()
        task = asyncio.create_task(session.run())
        try:
            yield session
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def names_of(session: Session) -> set[str]:
    return {line for line in hosts_of(session).splitlines() if not line.startswith("#")}


LATER = {
    "a suffix": {"suffix": "example.com"},
    "a whole name": {"network": "google", "suffix": "com"},
}


@pytest.mark.parametrize("other", LATER.values(), ids=LATER)
async def test_another_name_at_a_later_hello_changes_no_name(other: dict[str, str], tmp_path: Path) -> None:
    liar = Liar(cut(state(*HONEST)), state(*HONEST, revision=11, **other))
    async with agent_of(liar, tmp_path) as session:
        await eventually(lambda: session.applied == 11)
        assert names_of(session) == NAMES


async def test_a_name_that_was_told_is_kept_over_a_restart(tmp_path: Path) -> None:
    async with agent_of(Liar(state(*HONEST)), tmp_path) as session:
        await eventually(lambda: session.applied == 10 and session.paths.netmap.exists())
    async with agent_of(Liar(state(*HONEST, revision=11, network="google", suffix="com")), tmp_path) as session:
        await eventually(lambda: session.applied == 11)
        assert names_of(session) == NAMES


@pytest.mark.parametrize("said", [{"suffix": "com"}, {"network": "github", "suffix": "com"}], ids=["suffix", "both"])
async def test_no_domain_of_others_is_written_and_what_was_said_is_told(said: dict[str, str], tmp_path: Path) -> None:
    async with agent_of(Liar(state(*HONEST, **said)), tmp_path) as session:
        await eventually(lambda: session.applied == 10)
        assert names_of(session) == NAMES
        assert refused_domain(await status(session)) is not None


async def test_a_name_that_the_config_does_not_know_is_not_the_networks(tmp_path: Path) -> None:
    async with agent_of(Liar(state(*HONEST, network="other")), tmp_path) as session:
        await eventually(lambda: session.applied == 10)
        assert names_of(session) == NAMES


async def test_a_domain_of_others_is_taken_where_the_config_says_so(tmp_path: Path) -> None:
    script = state(*HONEST, suffix="example.com")
    for suffix in ("example.com", "internal"):
        async with Liar(script).listening() as port:
            session = session_at(tmp_path, "ryo", RYO, port)
            accept(session.paths, suffix)
            session = Session(session.paths, config.load(session.paths), session.tunnel, session.choices)
            await session.bring_up()
            await session.follow(once=True)
            await session.http.aclose()
        assert names_of(session) == {name.removesuffix("wg") + suffix for name in NAMES}


async def test_what_was_taken_before_anybody_asked_is_let_go_of(tmp_path: Path) -> None:
    """An agent of before believed the first hello."""
    async with agent_of(Liar(state(*HONEST)), tmp_path) as session:
        await eventually(lambda: session.applied == 10 and session.paths.head.exists())
    for path in (session.paths.netmap, session.paths.head):
        path.write_bytes(path.read_bytes().replace(b'"suffix":"wg"', b'"suffix":"com"'))
    async with agent_of(Liar(state(*HONEST, revision=11, suffix="com")), tmp_path) as session:
        await eventually(lambda: session.applied == 11)
        assert names_of(session) == NAMES


def accept(paths: Paths, suffix: str) -> None:
    text = paths.config.read_text()
    paths.config.write_text(text.replace("[interface]\n", f'[interface]\nsuffix = "{suffix}"\n'))


async def test_the_first_name_that_is_told_is_the_networks_to_choose(tmp_path: Path) -> None:
    async with agent_of(Liar(state(*HONEST, suffix="home.arpa")), tmp_path) as session:
        await eventually(lambda: session.applied == 10)
        assert names_of(session) == {name.removesuffix("wg") + "home.arpa" for name in NAMES}


async def test_a_name_without_end_is_never_written_and_the_agent_asks_again(tmp_path: Path) -> None:
    liar = Liar(state(*HONEST, suffix=ENDLESS), state(*HONEST))
    async with agent_of(liar, tmp_path) as session:
        await liar.asked(2, within=4)
        await eventually(lambda: session.applied == 10)
        assert names_of(session) == NAMES


async def test_a_name_without_end_at_a_later_hello_changes_nothing(tmp_path: Path) -> None:
    liar = Liar(cut(state(*HONEST)), state(HONEST[0], HONEST[1], revision=11, suffix=ENDLESS))
    async with agent_of(liar, tmp_path) as session:
        await liar.asked(3, within=6)
        assert names_of(session) == NAMES
        assert key("mari") in on_device(session)


LONG = {"161 characters": "a" * 60 + "." + "b" * 60 + "." + "c" * 39, "100,000 labels": ENDLESS, "one label": "a" * 161}


@pytest.mark.parametrize("suffix", LONG.values(), ids=LONG)
def test_a_suffix_of_more_than_160_characters_is_refused(suffix: str) -> None:
    with pytest.raises(Refused) as refused:
        greet(Netmap(), hello(suffix=suffix))
    assert refused.value.code == "invalid_name"
    assert len(refused.value.message) < 200, "it is logged"


def test_a_suffix_of_160_characters_is_taken() -> None:
    suffix = LONG["161 characters"][:-4] + ".wg"
    assert (len(suffix), greet(Netmap(), hello(suffix=suffix)).suffix) == (160, suffix)


OUTSIDE = ["127.41.255.255", "127.43.0.0", "8.8.8.8", "0.0.0.0", "::1", "fd00::8"]


@pytest.mark.parametrize("later", [False, True], ids=["at-once", "later"])
async def test_who_lives_outside_the_network_reaches_neither_device_nor_names(later: bool, tmp_path: Path) -> None:
    strangers = [peer_json(20 + n, f"eve{n}", ip) for n, ip in enumerate(OUTSIDE)]
    liar = Liar(state(*HONEST) if later else state(*HONEST, *strangers, revision=11))
    async with agent_of(liar, tmp_path) as session:
        if later:
            await eventually(lambda: session.applied == 10)
            await liar.say(told(DeltaJson(revision=11, head_hash="h", peers=strangers), presence(whole=False)))
        await eventually(lambda: liar.reports and liar.reports[-1][1]["revision"] == 11)
        assert (on_device(session), names_of(session)) == ({key("coordinator"), key("mari")}, NAMES)
    refused = [{"peer": peer.id, "reason": "address_outside_cidr"} for peer in strangers]
    assert liar.reports[-1] == ("/v1/user/applied", {"revision": 11, "refused": refused})
