"""What was found wrong in the agent and its verbs: each of these failed when it was written."""

import asyncio
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from innclient.agent import store, stream
from innclient.agent.journal import Journal, read
from innclient.agent.run import cycle
from innclient.agent.session import Session
from innclient.agent.shelf import Shelf
from innclient.agent.views import show, status
from innclient.core.changes import Entry, differences
from innclient.core.netmap import LogForked, greet, take_delta
from innclient.core.pins import Pins
from innerd.domain import commands as c
from innerd.failure import Failure
from innerd.host import domains, files
from innerd.wire.innernet import CidrJson
from innerd.wire.ours import Applied
from innerd.wire.stream import Bye, DeltaJson, PeerPresence, PresenceJson
from innerd.wireguard import watch
from innerd.wireguard.device import Device, DeviceError
from tests.client.agents import agent_of, inn
from tests.client.commands import Host
from tests.client.conftest import NETWORK
from tests.client.liar import OPEN, Liar, presence, told
from tests.client.support import COORDINATOR, eventually, hosts_of, on_device, paths_in, session_at, session_of
from tests.client.test_core import NOW, in_step
from tests.client.told import MARI, hello, netmap, peer_json, snapshot
from tests.world import INTERFACE, World, key, populated

RYO_IP, MARI_IP, OVEN_IP = "127.42.128.1", "127.42.128.2", "127.42.64.1"
ROOT = CidrJson(id=1, name="kermpany", cidr="127.42.0.0/16", parent=None)
SERVER = peer_json(1, "coordinator", COORDINATOR, cidr_id=2, endpoint="192.0.2.1:51820")
HONEST = [SERVER, peer_json(3, "ryo", RYO_IP), peer_json(4, "mari", MARI_IP)]


def state(*peers: Any, revision: int = 10, **said: Any) -> bytes:
    shot = snapshot(*peers, revision=revision, cidrs=[ROOT], **said)
    return OPEN + told(hello(head=revision), shot, presence())


def delta(revision: int = 11, **changes: Any) -> bytes:
    return told(DeltaJson(**{"revision": revision, "head_hash": f"h{revision}"} | changes))


class Running:
    """An agent of ryo's before a liar; the task of its run. No tick puts anything right meanwhile."""

    def __init__(self, liar: Liar, folder: Path, tick: float = 600.0, **choices: Any) -> None:
        self.liar, self.folder, self.choices = liar, folder, {"tick": tick, **choices}

    async def __aenter__(self) -> Session:
        self._listening = self.liar.listening()
        port = await self._listening.__aenter__()
        self.session = session_at(self.folder, "ryo", RYO_IP, port, **self.choices)
        await self.session.bring_up()
        self._task = asyncio.create_task(self.session.run())
        return self.session

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._listening.__aexit__(None, None, None)


def reported(liar: Liar, revision: int) -> bool:
    return any(path == "/v1/user/applied" and body["revision"] == revision for path, body in liar.reports)


# -- receipts that are not true -------------------------------------------------------------------------------------


async def test_no_receipt_says_that_a_peer_is_gone_who_is_still_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`device` is forgotten only after `tunnel.get()`. Where that raises, the old memory
    stands although the core has taken the delta: the next chunk, of something else, is matched by a part of it."""
    liar = Liar(state(*HONEST), OPEN + told(hello(head=11, cursor_hash="h11"), presence()))
    async with Running(liar, tmp_path) as session:
        await eventually(lambda: session.applied == 10)
        honest = session.tunnel.get

        def fails_once() -> Device:
            monkeypatch.setattr(session.tunnel, "get", honest)
            raise DeviceError("netlink", "no buffer space")

        monkeypatch.setattr(session.tunnel, "get", fails_once)
        session.agent.change.device = None  # what is there is not known: it is read
        await liar.say(delta(gone=[4]))
        await eventually(lambda: reported(liar, 11), "a receipt")
        assert key("mari") not in on_device(session)


def test_what_a_receipt_says_was_refused_is_of_the_revision_that_it_names() -> None:
    """core.py receipt: the revision is of `matched`, the refused of `netmap`, which may be further."""
    core, _ = in_step(MARI)
    core.take([DeltaJson(revision=11, head_hash="h", peers=[peer_json(9, "no name", "10.42.128.9")])], NOW)
    receipt = core.receipt()
    assert receipt is not None
    assert (receipt.revision, receipt.refused) == (10, [])


def test_a_receipt_that_refuses_many_is_one_that_the_coordinator_takes() -> None:
    """core.py refused: wire/ours.py Applied takes 1,000; with more the coordinator answers 400, for ever: the peer is
    "behind", and `--wait` ends with not_converged."""
    core, _ = in_step(MARI)
    bad = [peer_json(100 + n, "no name", f"10.42.{n // 250}.{n % 250}") for n in range(1001)]
    core.take([DeltaJson(revision=11, head_hash="h", peers=bad)], NOW)
    core.matched = core.netmap
    msgspec.json.decode(msgspec.json.encode(core.receipt()), type=Applied)


async def test_a_receipt_that_got_lost_is_said_again_while_the_connection_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """session.py _report_once: it is said again "with the next word of the coordinator", which may be an hour away;
    a `--wait` runs into its end meanwhile. And status says "applied here: 0"."""
    liar = Liar(state(*HONEST))
    async with Running(liar, tmp_path, tick=0.2):
        await eventually(lambda: reported(liar, 10))
        honest, lost = stream.put, []

        async def loses_one(http: Any, path: str, body: object) -> str | None:
            if not lost:
                lost.append(body)
                return "ReadTimeout"
            return await honest(http, path, body)

        monkeypatch.setattr(stream, "put", loses_one)
        await liar.say(delta(gone=[4]))
        await eventually(lambda: lost)
        await eventually(lambda: reported(liar, 11), "a receipt", within=3)


async def test_status_says_what_is_applied_here_even_if_the_receipt_got_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """session.py applied: it is what was reported (None after each hello and lost receipt), not what the device is
    known to match. `core.matched.revision` is."""
    liar = Liar(state(*HONEST))
    async with Running(liar, tmp_path) as session:
        await eventually(lambda: session.applied == 10)

        async def loses(*_: object) -> str:
            return "ReadTimeout"

        monkeypatch.setattr(stream, "put", loses)
        await liar.say(delta(gone=[4]))
        await eventually(lambda: key("mari") not in on_device(session) and session.membership.matched.revision == 11)
        await asyncio.sleep(0.1)
        assert (await status(session)).applied == 11


# -- tasks that end in silence --------------------------------------------------------------------------------------


class Babbler(Liar):
    """Answers the first report with a body that can't be unpacked."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        honest = writer.write

        def write(data: bytes) -> None:
            if data.startswith(b"HTTP/1.1 204") and len(self.reports) == 1:
                data = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!"
            honest(data)

        writer.write = write  # type: ignore[method-assign]
        await super()._serve(reader, writer)


async def test_an_answer_that_can_not_be_unpacked_ends_no_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stream.py put: httpx2.DecodingError is no TransportError. It ends the task `_report` in silence: no receipt is
    ever sent again, and the netmap is never written again. (session.py run: no task beside is looked after.)"""
    liar = Babbler(state(*HONEST))
    async with Running(liar, tmp_path) as session:
        await eventually(lambda: reported(liar, 10))
        await liar.say(delta(gone=[4]))
        await eventually(lambda: key("mari") not in on_device(session))
        await eventually(lambda: reported(liar, 11), "a receipt", within=3)


async def test_an_interface_that_is_gone_for_a_moment_ends_no_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """session.py _watch: `_doubt` reports candidates, which reads the device; DeviceError ends the task in silence, and
    no change of address is noticed ever after."""
    moved: asyncio.Queue[watch.Moved] = asyncio.Queue()
    asked = []

    async def changes(interface: str) -> Any:
        while True:
            yield await moved.get()

    async def answers(*_: object) -> bool:
        asked.append(1)
        return True

    monkeypatch.setattr(watch, "changes", changes)
    monkeypatch.setattr(stream, "answers", answers)
    liar = Liar(state(*HONEST))
    async with Running(liar, tmp_path, report_candidates=True) as session:
        await eventually(lambda: session.applied == 10)
        with monkeypatch.context() as away:

            def gone() -> Device:
                raise DeviceError("interface_down", "the interface is not up")

            away.setattr(session.tunnel, "get", gone)
            moved.put_nowait(watch.Moved("addresses changed"))
            await eventually(lambda: len(asked) == 1)
            await asyncio.sleep(0.1)
        moved.put_nowait(watch.Moved("addresses changed"))
        await eventually(lambda: len(asked) == 2, "asked again", within=3)


async def test_a_netlink_socket_that_fails_does_not_take_the_whole_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """watch.py _addresses: every OSError is taken for ENOBUFS and read past at once. `sock_recv` raises without giving
    the loop a turn: an error that stays (ENOMEM, EBADF) stops the agent altogether."""
    loop = asyncio.get_running_loop()
    calls = []

    async def fails(*_: object) -> bytes:
        calls.append(1)
        if len(calls) > 10_000:
            raise asyncio.CancelledError
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(loop, "sock_recv", fails)
    task = asyncio.create_task(watch._netlink("own0", asyncio.Queue()))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(calls) < 100


async def test_domains_without_number_keep_no_tick_from_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that a coordinator tells are looked up by name servers of others: 20,000 of them that hang are a few
    threads, and no work waits for them."""
    hang, asked = threading.Event(), []

    def resolve(endpoint: str, block: object) -> list[str]:
        asked.append(endpoint)
        hang.wait()
        return []

    monkeypatch.setattr(domains, "resolve", resolve)
    told_of = [PeerPresence(peer=4 + n, endpoint=f"a{n}.example:1", candidates=[], online=True) for n in range(20_000)]
    script = OPEN + told(hello(), snapshot(*HONEST, cidrs=[ROOT]), PresenceJson(whole=True, peers=told_of))
    try:
        async with Running(Liar(script), tmp_path, tick=0.2) as session:
            await eventually(lambda: session.applied == 10 and asked)
            session.tunnel.forget(key("mari"))
            await eventually(lambda: key("mari") in on_device(session), "put right", within=30)
            assert len(asked) <= 4
    finally:
        hang.set()


# -- what a coordinator may not do ----------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [0, 3])
def test_a_delta_can_not_make_us_forget_how_far_the_log_was_seen(revision: int) -> None:
    """state.py _take believes any revision. With a delta back to 0 `greet` knows nothing any more: another network, an
    older generation and a rewound log are no alarm. (Within a generation revisions only grow.)"""
    with pytest.raises(LogForked):  # noqa: PT012 - at one of the two
        after = take_delta(netmap(MARI), DeltaJson(revision=revision, head_hash=""))
        greet(after, hello(head=4, network_id="b" * 32 if revision == 0 else after.network_id))


NASTY = "\x1b[2J\x9b1m\u202e"


async def test_the_hash_of_the_log_reaches_a_terminal_escaped(tmp_path: Path) -> None:
    """show.py status: `head` is the coordinator's word and printed as it is. (device_error too, without printable.)"""
    liar = Liar(state(*HONEST, head_hash=NASTY))
    async with liar.listening() as port:
        session = session_at(tmp_path, "ryo", RYO_IP, port)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            said = (await inn(session, "status", INTERFACE)).out
    assert {c for c in said if not c.isprintable()} == {"\n"}


async def test_what_is_noted_of_a_coordinators_words_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """session.py _explain: reasons of a goodbye, titles of a refusal and network ids are noted as long as they are (up
    to 64 MiB), and 2,000 entries are kept in memory."""
    liar = Liar(state(*HONEST) + told(Bye(reason="x" * 1_000_000)))
    async with Running(liar, tmp_path) as session:
        await eventually(lambda: any(e.type == "coordinator.ended" for e in session.journal.after(0)))
        assert max(len(e.text) for e in session.journal.after(0)) < 2000


async def test_who_shares_an_address_with_a_liar_is_still_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """view.py network_view hides every peer at an address where a key is refused, and so the one whose key is pinned
    and on the device. (keys.get(ip) == public_key, as in core.believed.)"""
    liar = Liar(state(*HONEST, peer_json(9, "eve", MARI_IP), peer_json(8, "ivy", RYO_IP)))
    async with Running(liar, tmp_path) as session:
        await eventually(lambda: session.applied == 10)
        assert key("mari") in on_device(session)
        assert [peer.name for peer in (await show(session)).peers] == ["coordinator", "ryo", "mari"]


# -- names and words ------------------------------------------------------------------------------------------------


async def test_a_key_that_is_refused_takes_the_name_with_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """core.py _compare: `names_changed` looks at name and address, but who is believed depends on the key. The name of
    a peer whose key is refused stays until the next tick; after one cycle (`inn fetch`, `inn up`) for good."""
    liar = Liar(state(*HONEST))
    async with Running(liar, tmp_path) as session:
        await eventually(lambda: session.applied == 10)
        await liar.say(delta(peers=[peer_json(4, "mari", MARI_IP, public_key=key("eve"))]))
        await eventually(lambda: session.applied == 11)
        assert key("mari") not in on_device(session)
        assert "mari" not in hosts_of(session)


def test_another_address_of_a_peer_has_its_words() -> None:
    """words.py _of_peer says nothing of an address that changed; an honest coordinator never changes one."""
    before = netmap(MARI)
    after = take_delta(before, DeltaJson(revision=11, head_hash="h", peers=[peer_json(4, "mari", "10.42.128.77")]))
    assert "10.42.128.77" in " ".join(e.text for e in differences(before, after, {4}, NOW))


async def test_who_is_out_of_sight_is_not_counted_as_online(tmp_path: Path) -> None:
    """run.py status_of counts `core.presence`, which keeps peers that are gone: "1 visible, 2 online". The domains of
    their endpoints are looked up for ever, too."""
    kermpany: World = await populated()
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await kermpany.open("mari")
            await eventually(lambda: session.applied)
            mari = kermpany.peer("mari").id
            await eventually(lambda: session.membership.presence.get(mari) and session.membership.presence[mari].online)
            await kermpany.do(c.RemovePeer(mari))
            await eventually(lambda: session.applied == kermpany.writer.network.revision)
            assert (await status(session)).online == 0


# -- the journal ----------------------------------------------------------------------------------------------------


def entry(text: str) -> Entry:
    return Entry(at=1.0, revision=7, type="peer.seen", subject="peer:4", text=text)


def test_after_a_torn_line_the_next_entry_is_not_lost(tmp_path: Path) -> None:
    """journal.py: what a crash tore has no end of line, and the first entry of the next run is written behind it: then
    neither can be read. (At the start, end a line that has no end.)"""
    path = tmp_path / "journal.jsonl"
    Journal(path).add([entry("one")])
    path.write_bytes(path.read_bytes() + b'{"seq":2,"at":1.0,"rev')
    Journal(path).add([entry("two")])
    assert [e.text for e in read(path)] == ["one", "two"]


def test_after_a_write_that_was_short_the_next_entry_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """journal.py _write: `os.write` may write a part (a disk that becomes full does); nobody looks, `broken` is not
    set, and the next entry is lost with it."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add([entry("one")])
    honest = os.write
    with monkeypatch.context() as short:
        short.setattr(os, "write", lambda descriptor, data: honest(descriptor, data[:20]))
        journal.add([entry("two")])
    journal.add([entry("three")])
    assert "three" in [e.text for e in read(path)]


@pytest.mark.parametrize("garbage", [b'{"seq":2,"text":"\xff\xfe"}\n', b'"\xff"\n'])
def test_bytes_in_the_journal_keep_no_agent_from_starting(tmp_path: Path, garbage: bytes) -> None:
    """journal.py read: UnicodeDecodeError is a ValueError and no msgspec.DecodeError."""
    path = tmp_path / "journal.jsonl"
    Journal(path).add([entry("one")])
    path.write_bytes(path.read_bytes() + garbage)
    assert [e.text for e in Journal(path).after(0)] == ["one"]


def test_bytes_in_the_memory_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    """disk.py _read: as above; the user sees an internal error in place of state_unreadable."""
    paths = paths_in(tmp_path)
    store.save_pins(paths, Pins({"10.42.128.2": key("mari")}))
    paths.pins.write_bytes(paths.pins.read_bytes().replace(b"10.42.128.2", b"10.42.\xff"))
    with pytest.raises(Failure, match="can't be read"):
        store.load_pins(paths)


def test_many_entries_at_once_are_written_in_the_time_that_they_need(tmp_path: Path) -> None:
    """journal.py add: `lines += ...` copies all that came before with each entry, on the event loop (40,000: 26 s)."""
    journal = Journal(tmp_path / "journal.jsonl")
    began = time.perf_counter()
    journal.add([entry("x" * 100)] * 25_000)
    assert time.perf_counter() - began < 2


# -- commands -------------------------------------------------------------------------------------------------------


async def test_who_follows_is_told_that_the_agent_ended_when_it_ends_while_nothing_happens(tmp_path: Path) -> None:
    """door.py ask: an agent whose process ends closes the connection without an answer; that is "agent_unreadable"
    (6), not "no_agent" (5). It is how most runs of `inn events -f` end."""
    session = session_at(tmp_path, "ryo", RYO_IP, 1)
    await session.http.aclose()
    session.paths.socket.parent.mkdir(parents=True)
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        if len(asked) == 1:
            writer.write(b'{"content":[],"status":0,"code":null,"message":"","hint":null}\n')
        else:
            session.paths.socket.unlink(missing_ok=True)
        writer.close()

    server = await asyncio.start_unix_server(serve, path=str(session.paths.socket))
    done = await inn(session, "events", INTERFACE, "--follow")
    server.close()
    assert (done.status, done.code, len(asked)) == (5, "no_agent", 2)


async def test_trust_that_could_not_be_written_down_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """told.py _trust_in_files: the shelf keeps what it can't write in memory, and the command ends with it, with exit
    status 0 and "is the key of mari from now on". The same goes for pins and netmap after one `cycle`."""
    kermpany = await populated()
    store.save_pins(paths_in(tmp_path), Pins({str(kermpany.peer("mari").ip): key("mari of old")}))
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)

    def refuse(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_atomically", refuse)
    done = await inn(session, "trust", INTERFACE, "mari", "--yes")
    assert store.load_pins(session.paths).broken
    assert done.status == 6


@pytest.mark.parametrize(
    "verb",
    [
        ["add-peer", "--name", "nami", "--cidr", "humans", "--auto-ip", "--admin", "false", "--invite-expires", "14d"],
        ["reissue-invite", "--name", "tama", "--invite-expires", "1d"],
    ],
    ids=lambda verb: verb[0],
)
def test_a_change_whose_invitation_goes_to_stdout_can_wait(host: Host, verb: list[str]) -> None:
    """peers.py returns without `call.tell`, so verb.py finish finds no "revision": KeyError, an internal error, after
    the peer is made. (And waiting.say would write into the invitation: stderr is the place.)"""
    done = host(verb[0], NETWORK, *verb[1:], "--save-config", "-", "--wait")
    assert (done.status, done.code) == (5, "not_serving")


def test_a_later_try_never_writes_an_older_memory_over_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """disk.py Shelf: `retry` (of the tick) and `save_netmap` (of _report) run in threads of their own. A retry that has
    picked the old netmap up writes it after the new one, whose receipt is out: who was let go of comes back."""
    paths = paths_in(tmp_path)
    shelf, honest = Shelf(paths), files.write_atomically
    picked_up, go_on = threading.Event(), threading.Event()

    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def slow(*args: Any) -> None:
        if not picked_up.is_set():
            picked_up.set()
            go_on.wait(2)
        honest(*args)

    monkeypatch.setattr(files, "write_atomically", full)
    shelf.save_netmap(netmap(MARI), 5.0)
    monkeypatch.setattr(files, "write_atomically", slow)
    retrying = threading.Thread(target=shelf.retry)
    retrying.start()
    picked_up.wait(5)
    saving = threading.Thread(target=shelf.save_netmap, args=(netmap(), 6.0))
    saving.start()
    saving.join(0.5)  # a shelf with a lock waits here
    go_on.set()
    retrying.join()
    saving.join()
    assert store.load_netmap(paths) == (netmap(), 6.0)
