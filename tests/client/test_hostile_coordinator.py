"""A coordinator that lies, babbles or is broken: the agent goes on, and nothing of it reaches device or names."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from innclient.agent.run import cycle
from innclient.agent.session import Session
from innerd.failure import UNREACHABLE, Failure
from innerd.wire.innernet import CidrJson, PeerJson
from innerd.wire.stream import KEEPALIVE, Bye, DeltaJson, PeerPresence, PresenceJson
from tests.client.agents import agent_of as served
from tests.client.agents import inn
from tests.client.liar import OPEN, Liar, presence, told
from tests.client.support import COORDINATOR, eventually, hosts_of, on_device, session_at
from tests.client.told import hello, peer_json, snapshot
from tests.world import INTERFACE, key

RYO, MARI, OVEN = "127.42.128.1", "127.42.128.2", "127.42.64.1"
ROOT = CidrJson(id=1, name="kermpany", cidr="127.42.0.0/16", parent=None)
SERVER = peer_json(1, "coordinator", COORDINATOR, cidr_id=2, endpoint="192.0.2.1:51820")
HONEST = [SERVER, peer_json(3, "ryo", RYO), peer_json(4, "mari", MARI)]


def state(*peers: PeerJson, revision: int = 10, cidrs: list[CidrJson] | None = None) -> bytes:
    """A whole stream up to and with its presence: all of it in one piece."""
    shot = snapshot(*peers, revision=revision, cidrs=[ROOT] if cidrs is None else cidrs)
    return OPEN + told(hello(head=revision, cursor_hash="head"), shot, presence())


def delta(**changes: object) -> bytes:
    return told(DeltaJson(**{"revision": 11, "head_hash": "h11"} | changes), presence(whole=False))


@contextlib.asynccontextmanager
async def agent_of(liar: Liar, folder: Path) -> AsyncIterator[tuple[Session, "asyncio.Task[None]"]]:
    """A session that has seen nothing yet and runs; at the end it must still run."""
    async with liar.listening() as port:
        session = session_at(folder, "ryo", RYO, port)
        await session.bring_up()
        task = asyncio.create_task(session.run())
        try:
            yield session, task
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
    async with agent_of(liar, folder) as (session, task):
        asked = asyncio.create_task(liar.asked(2))
        await asyncio.wait((asked, task), return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task.exception()
        await asked
        await eventually(lambda: on_device(session) == {key("coordinator"), key("mari")})


async def test_the_agent_asks_again_after_garbage_and_takes_the_truth_when_it_comes(tmp_path: Path) -> None:
    """All at once, each with an agent of its own: an agent waits before it asks again."""
    trials = [survive(garbage, tmp_path / str(number)) for number, garbage in enumerate(GARBAGE.values())]
    outcomes = dict(zip(GARBAGE, await asyncio.gather(*trials, return_exceptions=True), strict=True))
    assert {name: outcome for name, outcome in outcomes.items() if outcome is not None} == {}


async def test_a_frame_without_end_is_cut_off(tmp_path: Path) -> None:
    """The bound is 64 MiB. A parser that looks at all of it again with every chunk takes ten times longer than this."""
    liar = Liar(OPEN + b"event: snapshot\ndata: " + b" " * (65 << 20), state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await liar.asked(2, within=5)
        await eventually(lambda: key("mari") in on_device(session))


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
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await liar.say(delta(peers=[bad]))
        await eventually(lambda: session.applied == 11)
        allowed = {k: sorted(p.allowed_ips) for k, p in session.tunnel.get().peers.items()}
        assert allowed in (
            {key("coordinator"): [f"{COORDINATOR}/32"], key("mari"): [f"{MARI}/32"]},
            {key("coordinator"): [f"{COORDINATOR}/32"]},  # mari may go: the coordinator may always hide her
        )
        lines = {line for line in hosts_of(session).splitlines() if not line.startswith("#")}
        honest = {f"{COORDINATOR} coordinator.kermpany.wg", f"{RYO} ryo.kermpany.wg", f"{MARI} mari.kermpany.wg"}
        assert lines <= honest | {f"{OVEN} eve.kermpany.wg"}  # a name for a free address is the coordinator's to give


async def test_our_own_address_for_another_is_refused_even_as_the_first_thing_told(tmp_path: Path) -> None:
    liar = Liar(state(SERVER, peer_json(9, "eve", RYO), peer_json(4, "mari", MARI)))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        assert on_device(session) == {key("coordinator"), key("mari")}


async def test_what_was_refused_is_reported(tmp_path: Path) -> None:
    bad = [peer_json(9, "no name", OVEN), peer_json(4, "mari", MARI, public_key=key("eve"))]
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await liar.say(delta(peers=bad))
        await eventually(lambda: len(liar.reports) == 2)
    refused = [{"peer": 4, "reason": "pin"}, {"peer": 9, "reason": "invalid_name"}]
    assert liar.reports[1] == ("/v1/user/applied", {"revision": 11, "refused": refused})


async def test_a_rewound_log_changes_nothing_and_is_said(tmp_path: Path) -> None:
    lost = state(*HONEST, revision=10).removesuffix(b"\n\n") + b"\n\n\0"
    liar = Liar(lost, state(SERVER, peer_json(3, "ryo", RYO), revision=8))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.agent.connection.forked is not None)
        assert "rewound" in (session.agent.connection.forked or "")
        assert key("mari") in on_device(session)


@pytest.mark.parametrize("reason", ["shutting_down", "disabled"])
async def test_one_cycle_that_is_told_goodbye_fails_as_a_command_does(reason: str, tmp_path: Path) -> None:
    liar = Liar(OPEN + told(hello(), Bye(reason=reason)))
    async with liar.listening() as port:
        with pytest.raises(Failure) as failed:
            await cycle(session_at(tmp_path, "ryo", RYO, port))
    assert failed.value.status in (UNREACHABLE, 3)
    assert reason in failed.value.message or reason == "disabled"


# -- what comes in an order, a number or a size that no coordinator has ------------------------------------------------

HONEST_DEVICE = {key("coordinator"): frozenset({f"{COORDINATOR}/32"}), key("mari"): frozenset({f"{MARI}/32"})}
HONEST_NAMES = {f"{COORDINATOR} coordinator.kermpany.wg", f"{RYO} ryo.kermpany.wg", f"{MARI} mari.kermpany.wg"}


def allowed_of(session: Session) -> dict[str, frozenset[str]]:
    return {k: p.allowed_ips for k, p in session.tunnel.get().peers.items()}


def names_of(session: Session) -> set[str]:
    return {line for line in hosts_of(session).splitlines() if not line.startswith("#")}


async def told_later(folder: Path, *chunks: bytes, last: int) -> tuple[dict[str, frozenset[str]], set[str]]:
    """Device and names of an agent that was told the truth, then other things, then a last revision."""
    liar = Liar(state(*HONEST))
    async with agent_of(liar, folder) as (session, _):
        await eventually(lambda: session.applied == 10)
        for chunk in chunks:
            await liar.say(chunk)
        await eventually(lambda: liar.reports and liar.reports[-1][1]["revision"] == last, within=30)
        assert liar.streams == 1, "it asked anew"
        return allowed_of(session), names_of(session)


async def test_a_delta_before_any_snapshot_brings_what_it_says_and_no_more(tmp_path: Path) -> None:
    liar = Liar(OPEN + told(hello(head=11)) + delta(peers=HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 11)
        assert (allowed_of(session), names_of(session)) == (HONEST_DEVICE, HONEST_NAMES)


async def test_frames_before_any_hello_are_not_believed(tmp_path: Path) -> None:
    liar = Liar(OPEN + told(snapshot(*HONEST, cidrs=[ROOT])) + delta(peers=[peer_json(9, "eve", RYO)]))
    async with agent_of(liar, tmp_path) as (session, _):
        await liar.asked(2)
        assert on_device(session) <= {key("coordinator")}
        assert hosts_of(session) == ""
        assert session.netmap.revision == 0


@pytest.mark.parametrize("reason", ["disabled", "retired"])
async def test_a_goodbye_of_who_did_not_say_who_they_are_takes_nobody_off(reason: str, tmp_path: Path) -> None:
    """A stranger at the coordinator's address, whom an agent came to by chance."""
    liar = Liar(state(*HONEST) + b"\xff", OPEN + told(Bye(reason=reason)))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await liar.asked(3)
        assert (allowed_of(session), names_of(session)) == (HONEST_DEVICE, HONEST_NAMES)


async def test_a_goodbye_before_anything_else_is_survived(tmp_path: Path) -> None:
    liar = Liar(OPEN + told(Bye(reason="disabled")), OPEN + told(Bye(reason="retired"), hello()), state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        assert allowed_of(session) == HONEST_DEVICE


@pytest.mark.parametrize("revision", [9, 0, -1, -(2**63), 2**63, 2**70, 10], ids=str)
async def test_a_delta_with_an_odd_revision_ends_nothing(revision: int, tmp_path: Path) -> None:
    """Whatever the number, what it says is looked at as everything else; and the next one is heard."""
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        eve = peer_json(9, "eve", OVEN, public_key=key("ryo"))
        await liar.say(delta(revision=revision, peers=[eve, peer_json(8, "eve", MARI)]))
        await liar.say(told(*[DeltaJson(revision=20, head_hash="h", peers=[peer_json(5, "oven", OVEN)])]))
        await eventually(lambda: key("oven") in on_device(session) or liar.streams > 1)
        assert HONEST_DEVICE.items() <= allowed_of(session).items()
        assert on_device(session) <= {key("coordinator"), key("mari"), key("oven")}


OWN = "our own address, the coordinator's and mari's, given to others in one delta"
MANY_PEERS = {
    OWN: [peer_json(20 + n, f"eve{n}", ip) for n, ip in enumerate((RYO, COORDINATOR, MARI))],
    "one address for two": [peer_json(20, "eve", OVEN), peer_json(21, "ivy", OVEN)],
    "one key for two": [peer_json(20, "eve", OVEN), peer_json(21, "ivy", "127.42.64.2", public_key=key("eve"))],
    "one id for two": [peer_json(20, "eve", OVEN), peer_json(20, "ivy", "127.42.64.2")],
    "our own id": [peer_json(3, "eve", OVEN, public_key=key("eve"))],
    "the coordinator's id": [peer_json(1, "eve", OVEN, public_key=key("eve"))],
    "an address in other words": [peer_json(20, "eve", "127.042.128.2"), peer_json(21, "eve", "::ffff:127.42.128.2")],
    "a key in other words": [peer_json(20, "eve", OVEN, public_key=key("mari").rstrip("="))],
}
ALLOWED = {key("eve"): {f"{OVEN}/32"}, key("ivy"): {"127.42.64.2/32"}}


@pytest.mark.parametrize("peers", MANY_PEERS.values(), ids=MANY_PEERS)
async def test_whatever_overlaps_nobody_gets_an_address_that_another_has(peers: list[PeerJson], tmp_path: Path) -> None:
    allowed, names = await told_later(tmp_path, delta(peers=peers), last=11)
    given = [ip for ips in allowed.values() for ip in ips]
    assert len(given) == len(set(given)), "one address, one peer"
    assert allowed[key("coordinator")] == frozenset({f"{COORDINATOR}/32"})
    assert allowed[key("mari")] == frozenset({f"{MARI}/32"})
    others = {k: ips for k, ips in allowed.items() if k not in HONEST_DEVICE}
    assert all(ips <= ALLOWED[k] for k, ips in others.items())
    assert key("ryo") not in allowed
    held = {line for line in names if line.split()[0] in (RYO, MARI, COORDINATOR)}
    assert held <= HONEST_NAMES


async def test_overlapping_ranges_of_cidrs_reach_no_device(tmp_path: Path) -> None:
    cidrs = [
        CidrJson(id=n, name="kermpany", cidr=r, parent=n) for n, r in enumerate(("0.0.0.0/0", "::/0", "127.42.0.0/16"))
    ]
    allowed, names = await told_later(tmp_path, delta(cidrs=cidrs, cidrs_gone=[1, 1, 99, -7]), last=11)
    assert (allowed, names) == (HONEST_DEVICE, HONEST_NAMES)


async def test_where_we_and_the_coordinator_are_gone_the_way_back_to_it_stays(tmp_path: Path) -> None:
    allowed, names = await told_later(tmp_path, delta(gone=[1, 3, 3, -1, 10**9]), last=11)
    assert (allowed, names) == (HONEST_DEVICE, {f"{MARI} mari.kermpany.wg"})


async def test_a_hello_in_the_middle_that_says_we_are_somebody_else_takes_no_key_of_ours_out(tmp_path: Path) -> None:
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await liar.say(told(hello(peer=4)) + delta(peers=[peer_json(9, "oven", OVEN)]))
        await liar.asked(2)
        await session.apply()
        assert on_device(session) == {key("coordinator"), key("mari")}, "a stream has one hello"
        assert key("ryo") not in on_device(session)
        assert session.tunnel.get().peers[key("coordinator")].allowed_ips == frozenset({f"{COORDINATOR}/32"})


async def test_another_network_after_the_first_is_refused_and_said(tmp_path: Path) -> None:
    another = OPEN + told(hello(network_id="\x1b[2J" + "b" * 29, head=99)) + delta(revision=99, gone=[4])
    liar = Liar(state(*HONEST) + b"\xff", another)
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await eventually(lambda: session.agent.connection.forked is not None)
        assert (allowed_of(session), names_of(session)) == (HONEST_DEVICE, HONEST_NAMES)
        assert session.netmap.revision == 10


async def test_a_hundred_thousand_peers_in_one_frame_are_looked_at_each(tmp_path: Path) -> None:
    """More than the network has addresses: names that are none, keys that are ours, addresses twice."""
    crowd = [
        peer_json(100 + n, "no name" if n % 2 else "eve", f"127.42.{n // 250 % 250}.{n % 250}", public_key=key("ryo"))
        for n in range(100_000)
    ]
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await liar.say(delta(peers=crowd))
        await eventually(lambda: session.applied == 11, within=40)
        assert (allowed_of(session), names_of(session)) == (HONEST_DEVICE, HONEST_NAMES)
        await liar.say(delta(revision=12, gone=[4]))
        await eventually(lambda: session.applied == 12, within=20)


async def test_a_hundred_thousand_endpoints_of_a_peer_are_survived(tmp_path: Path) -> None:
    texts = [f"{1 + n % 200}.{n // 200 % 250}.{n // 50_000}.9:{n % 65536}" for n in range(100_000)]
    mari = PeerPresence(peer=4, endpoint="\x1b[2J:1", candidates=texts, online=True)
    strangers = [PeerPresence(peer=n, endpoint=None, candidates=[], online=True) for n in (-1, 0, 1, 3, 77, 2**70)]
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await liar.say(told(PresenceJson(whole=True, peers=[mari, *strangers])) + delta())
        await eventually(lambda: session.applied == 11, within=30)
        assert allowed_of(session) == HONEST_DEVICE


async def test_a_peer_is_tried_neither_on_this_host_nor_in_the_tunnel(tmp_path: Path) -> None:
    texts = [
        "127.0.0.1:1",
        f"{COORDINATOR}:1",
        f"{RYO}:22",
        "0.0.0.0:1",
        "[::1]:1",
        "224.0.0.1:1",
        "8.8.8.8:0",
        "x:1\n",
    ]
    mari = PeerPresence(peer=4, endpoint=None, candidates=texts, online=True)
    liar = Liar(OPEN + told(hello(), snapshot(*HONEST, cidrs=[ROOT]), PresenceJson(whole=True, peers=[mari])))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        await asyncio.sleep(1.5)  # longer than a head start
        await session.apply()
        assert session.tunnel.get().peers[key("mari")].endpoint is None


async def test_a_flood_of_keepalives_and_of_frames_that_nobody_knows_is_only_heard(tmp_path: Path) -> None:
    liar = Liar(state(*HONEST))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        read = session.tunnel.backend.applied[:]
        flood = KEEPALIVE * 50_000 + b"\n\n" * 10_000 + b"event: gossip\ndata: {}\n\n" * 20_000 + b"data: 7\n\n"
        await liar.say(flood + delta())
        await eventually(lambda: session.applied == 11, within=20)
        assert session.tunnel.backend.applied == read
        assert len(session.journal.after(0)) < 20


async def test_a_frame_that_is_too_large_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    liar = Liar(state(*HONEST), state(*HONEST, revision=12))
    async with agent_of(liar, tmp_path) as (session, _):
        await eventually(lambda: session.applied == 10)
        saying = asyncio.create_task(liar.say(b'event: delta\ndata: {"x":"' + b"x" * (65 << 20)))
        await eventually(lambda: session.applied == 12, within=20)
        await asyncio.gather(saying, return_exceptions=True)
        assert allowed_of(session) == HONEST_DEVICE


# -- what reaches a terminal -----------------------------------------------------------------------------------------

NASTY = "\x1b[2J\x1b]0;owned\x07\r\n\x9b1m\u202egnp.exe\x00"


async def said_of(folder: Path, *scripts: bytes, until: str) -> str:
    """All that `inn` writes of an interface whose coordinator said this, when its state says so."""
    liar = Liar(*scripts)
    async with liar.listening() as port:
        session = session_at(folder, "ryo", RYO, port)
        async with served(session) as task:
            await eventually(lambda: getattr(session, until, None) or getattr(session.agent.connection, until, None))
            said = ""
            for verb in (
                ["status", INTERFACE],
                ["show"],
                ["show", "--tree"],
                ["events", INTERFACE],
                ["fetch", INTERFACE],
            ):
                done = await inn(session, *verb)
                assert done.out or done.err or verb[0] == "events", verb
                said += done.out + done.err
            assert not task.done()
    return said


def denial(code: str, title: str) -> bytes:
    body = json.dumps({"code": code, "title": title}).encode()
    return b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


SAYS = {
    "a reason to end": (OPEN + told(hello(), snapshot(*HONEST, cidrs=[ROOT]), Bye(reason=NASTY)), "trouble"),
    "a reason to end first": (OPEN + told(Bye(reason=NASTY)), "trouble"),
    "a refusal": (denial("unauthorized", NASTY), "trouble"),
    "a code": (denial(NASTY, "no"), "trouble"),
    "a network": (OPEN + told(hello(network=NASTY)), "trouble"),
    "a suffix": (OPEN + told(hello(suffix=NASTY)), "trouble"),
    "another network": ((state(*HONEST) + b"\xff", OPEN + told(hello(network_id=NASTY))), "forked"),
    "a broken frame": (OPEN + b'event: hello\ndata: {"' + json.dumps(NASTY)[1:].encode() + b":1}\n\n", "trouble"),
}


@pytest.mark.parametrize(("script", "until"), SAYS.values(), ids=SAYS)
async def test_what_the_coordinator_says_of_itself_reaches_a_terminal_escaped(
    script: bytes | tuple[bytes, ...], until: str, tmp_path: Path
) -> None:
    scripts = script if isinstance(script, tuple) else (script,)
    said = await said_of(tmp_path, *(one.removesuffix(b"\n\n") + b"\n\n\0" for one in scripts), until=until)
    raw = {c for c in said if not c.isprintable() and c != "\n"}
    assert raw == set()
    assert "TRUST BROKEN" in said if until == "forked" else "not connected" in said


async def test_names_that_are_none_reach_neither_a_terminal_nor_the_hosts_file(tmp_path: Path) -> None:
    bad = [peer_json(9, f"eve{NASTY}", OVEN), peer_json(4, f"mari{NASTY}", MARI)]
    cidrs = [ROOT, CidrJson(id=3, name=NASTY, cidr="127.42.128.0/17", parent=1)]
    script = OPEN + told(hello(), snapshot(*HONEST, *bad, cidrs=cidrs), presence())
    said = await said_of(tmp_path, script, until="applied")
    assert {c for c in said if not c.isprintable() and c != "\n"} == set()
    assert "eve" not in said
    assert {line for line in (tmp_path / "hosts").read_text().splitlines() if not line.startswith("#")} <= HONEST_NAMES
