"""`inn events` and `inn trust`, through a running agent and through the files where none runs."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from innclient.agent import store
from innclient.agent.run import cycle
from innclient.agent.session import Session
from innclient.core.changes import Entry
from innclient.core.pins import Pins, check
from innerd.command import prompt
from innerd.domain import commands as c
from innerd.domain.values import Name
from tests.client.agents import agent_of, inn
from tests.client.support import eventually, on_device, paths_in, session_of
from tests.world import INTERFACE, World, key, populated


@pytest.fixture
async def kermpany() -> World:
    return await populated()


def pin(folder: Path, kermpany: World, *names: str) -> None:
    """An earlier run of this peer saw other keys for peers' addresses."""
    store.save_pins(paths_in(folder), Pins({str(kermpany.peer(n).ip): key(f"{n} of old") for n in names}))


def entry(text: str, **changes: object) -> Entry:
    fields = {"at": 1_790_000_000.0, "revision": 7, "type": "peer.seen", "subject": "peer:4", "text": text}
    return Entry(**fields | changes)


# -- events ---------------------------------------------------------------------------------------------------------


async def test_events_of_a_running_agent_are_told_in_words_oldest_first(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            await kermpany.do(c.RenamePeer(kermpany.peer("mari").id, Name("mari-laptop")))
            revision = kermpany.writer.network.revision
            await eventually(lambda: session.applied == revision)
            done = await inn(session, "events", INTERFACE)
            assert (done.status, done.err) == (0, "")
            lines = done.out.splitlines()
            assert f"connected; the log is at revision {revision - 1}" in lines[0]
            assert lines[-1].endswith(f"mari ({kermpany.peer('mari-laptop').ip}) is called mari-laptop now")
            assert lines[-1].split()[0] == str(revision)
            document = (await inn(session, "events", INTERFACE, "--json")).json
            assert [e["seq"] for e in document["events"]] == list(range(1, len(lines) + 1))
            last = document["events"][-1]
            assert (document["revision"], last["revision"], last["type"]) == (revision, revision, "peer.renamed")
            assert last["subject"] == f"peer:{kermpany.peer('mari-laptop').id}"
            assert last["at"] == pytest.approx(time.time(), abs=60)


async def test_without_an_agent_events_come_from_the_files(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
    said = (await inn(session, "events", INTERFACE)).out
    assert f"mari ({kermpany.peer('mari').ip}, humans) is in sight" in said
    document = (await inn(session, "events", INTERFACE, "--json")).json
    assert len(document["events"]) == len(said.splitlines())


async def test_where_nothing_was_told_yet_there_are_no_events(kermpany: World, tmp_path: Path) -> None:
    session = session_of(kermpany, "ryo", tmp_path, 1)
    await session.http.aclose()
    done = await inn(session, "events", INTERFACE)
    assert done == (0, "", "")
    assert (await inn(session, "events", INTERFACE, "--json")).json == {"events": [], "revision": 0}


async def test_events_of_an_interface_that_is_none_are_not_found(kermpany: World, tmp_path: Path) -> None:
    session = session_of(kermpany, "ryo", tmp_path, 1)
    await session.http.aclose()
    done = await inn(session, "events", "nowhere")
    assert (done.status, done.out) == (4, "")


async def test_without_an_agent_nothing_can_be_followed(kermpany: World, tmp_path: Path) -> None:
    session = session_of(kermpany, "ryo", tmp_path, 1)
    await session.http.aclose()
    done = await inn(session, "events", INTERFACE, "--follow")
    assert (done.status, done.code, done.out) == (5, "no_agent", "")


async def test_what_is_said_of_a_network_reaches_a_terminal_escaped(kermpany: World, tmp_path: Path) -> None:
    session = session_of(kermpany, "ryo", tmp_path, 1)
    await session.http.aclose()
    session.journal.add([entry("the coordinator ended the stream: \x1b[2J\n6.6.6.6\x9b1m\u202ebank")])
    (line,) = (await inn(session, "events", INTERFACE)).out.splitlines()
    assert line.isprintable()
    assert r"\x1b[2J\n6.6.6.6\x9b1m\u202ebank" in line


async def test_who_follows_is_told_what_happens_one_document_a_line_until_the_agent_ends(
    kermpany: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("innclient.agent.run._FOLLOW", 0.3)
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            before = len(session.journal.after(0))
            following = asyncio.create_task(inn(session, "events", INTERFACE, "-f", "--json"))
            await asyncio.sleep(0.5)  # more than one question with nothing to answer
            await kermpany.associate("humans", "ovens")
            await eventually(lambda: any(e.text.startswith("oven ") for e in session.journal.after(before)))
            await asyncio.sleep(0.2)
            assert not following.done()
        async with asyncio.timeout(10):
            done = await following
    documents = [json.loads(line) for line in done.out.splitlines()]
    assert [d["seq"] for d in documents] == list(range(1, len(documents) + 1))
    assert documents[before]["text"].startswith("oven (")
    assert done.status == 5
    assert json.loads(done.err)["error"]["code"] == "no_agent"


# -- trust ----------------------------------------------------------------------------------------------------------


async def refusing(session: Session, *names: str) -> None:
    await eventually(lambda: {b.name for b in session.pins.broken.values()} == set(names) and session.applied)


FORMS = {"name": "{name}", "DNS": "{name}.kermpany.wg", "address": "{ip}", "number": "{id}", "subject": "peer:{id}"}


@pytest.mark.parametrize("by", FORMS)
async def test_a_key_that_is_trusted_is_on_the_device_and_no_longer_reported_as_refused(
    kermpany: World, tmp_path: Path, by: str
) -> None:
    mari, ryo = kermpany.peer("mari"), kermpany.peer("ryo")
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await refusing(session, "mari")
            receipts = kermpany.presence.receipts
            await eventually(lambda: ryo.id in receipts and receipts[ryo.id].refused == ((mari.id, "pin"),))
            assert key("mari") not in on_device(session)
            who = FORMS[by].format(name="mari", ip=mari.ip, id=mari.id)
            done = await inn(session, "trust", INTERFACE, who, "--yes")
            assert (done.status, done.err) == (0, "")
            assert key("mari of old") in done.out
            assert done.out.splitlines()[-1] == f"{key('mari')} is the key of mari ({mari.ip}) from now on."
            assert key("mari") in on_device(session)
            await eventually(lambda: kermpany.presence.receipts[ryo.id].refused == (), "a receipt", within=3)
            assert kermpany.presence.receipts[ryo.id].revision == kermpany.writer.network.revision
            assert "mari.kermpany.wg" in session.choices.names.path.read_text()
            assert (await inn(session, "status", INTERFACE)).status == 0
            assert store.load_pins(session.paths).keys[str(mari.ip)] == key("mari")
            assert session.journal.after(0)[-1].type == "key.trusted"


async def test_trust_in_json_is_one_document(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await refusing(session, "mari")
            done = await inn(session, "trust", INTERFACE, "mari", "--yes", "--json")
    ip = str(kermpany.peer("mari").ip)
    assert done.json == {"peer": "mari", "ip": ip, "pinned": key("mari"), "was": key("mari of old")}


async def test_trusting_one_key_trusts_no_other(kermpany: World, tmp_path: Path) -> None:
    await kermpany.associate("humans", "ovens")
    pin(tmp_path, kermpany, "mari", "oven")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await refusing(session, "mari", "oven")
            await inn(session, "trust", INTERFACE, "mari", "--yes")
            assert on_device(session) == {key("coordinator"), key("mari")}
            assert (await inn(session, "status", INTERFACE)).status == 7


@pytest.mark.parametrize("runs", [True, False], ids=["agent", "files"])
async def test_who_is_not_refused_can_not_be_trusted(kermpany: World, tmp_path: Path, runs: bool) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        if runs:
            async with agent_of(session):
                await refusing(session, "mari")
                found = [await inn(session, "trust", INTERFACE, who, "--yes") for who in ("ryo", "nobody", "6.6.6.6")]
        else:
            await cycle(session)
            found = [await inn(session, "trust", INTERFACE, who, "--yes") for who in ("ryo", "nobody", "6.6.6.6")]
    assert {(done.status, done.code, done.out) for done in found} == {(4, "no_such_break", "")}
    assert set(store.load_pins(session.paths).broken) == {str(kermpany.peer("mari").ip)}


async def test_without_a_terminal_and_without_yes_nothing_is_trusted(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await refusing(session, "mari")
            done = await inn(session, "trust", INTERFACE, "mari")
            assert (done.status, done.code) == (2, "missing_flag")
            assert "--yes" in done.err
            assert session.pins.broken
            assert key("mari") not in on_device(session)


@pytest.mark.parametrize("runs", [True, False], ids=["agent", "files"])
async def test_a_key_that_changed_while_it_was_looked_at_is_not_trusted(
    kermpany: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    ip = str(kermpany.peer("mari").ip)
    pin(tmp_path, kermpany, "mari")

    def changed(pins: Pins) -> Pins:
        return Pins(pins.keys, {ip: replace(pins.broken[ip], offered=key("third"))})

    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)

        def look_long(question: str, *, yes: bool) -> None:
            if runs:
                session.membership.pins = changed(session.membership.pins)
            else:
                store.save_pins(session.paths, changed(store.load_pins(session.paths)))

        monkeypatch.setattr(prompt, "confirm", look_long)
        if runs:
            async with agent_of(session):
                await refusing(session, "mari")
                done = await inn(session, "trust", INTERFACE, "mari")
                assert session.pins.keys[ip] == key("mari of old")
                assert not on_device(session) & {key("mari"), key("third")}
        else:
            await cycle(session)
            done = await inn(session, "trust", INTERFACE, "mari")
    assert (done.status, done.code) == (7, "key_changed")
    assert store.load_pins(session.paths).keys[ip] == key("mari of old")


async def test_without_an_agent_the_files_trust_and_the_next_run_believes_it(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
        assert key("mari") not in on_device(session)
        done = await inn(session, "trust", INTERFACE, "mari", "--yes")
        assert (done.status, done.out.splitlines()[-1].split()[0]) == (0, key("mari"))
        pins = store.load_pins(session.paths)
        assert (pins.keys[str(kermpany.peer("mari").ip)], pins.broken) == (key("mari"), {})
        again = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(again)
        assert key("mari") in on_device(again)
    assert kermpany.presence.receipts[kermpany.peer("ryo").id].refused == ()


async def test_the_files_are_left_alone_while_another_inn_works_on_them(kermpany: World, tmp_path: Path) -> None:
    from innclient.agent.run import holding

    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
    before = session.paths.pins.read_bytes()
    with holding(session.paths):
        done = await inn(session, "trust", INTERFACE, "mari", "--yes")
    assert (done.status, done.code) == (6, "interface_busy")
    assert session.paths.pins.read_bytes() == before


async def test_what_was_trusted_is_pinned_like_any_other_key(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
        await inn(session, "trust", INTERFACE, "mari", "--yes")
    pins = store.load_pins(session.paths)
    mari = replace(store.load_netmap(session.paths)[0].peers[kermpany.peer("mari").id], public_key=key("third"))
    assert check(pins, [mari], 5.0).broken[str(mari.ip)].pinned == key("mari")


@pytest.mark.parametrize("by", FORMS)
async def test_a_key_is_trusted_by_the_files_in_any_form(kermpany: World, tmp_path: Path, by: str) -> None:
    mari = kermpany.peer("mari")
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
        done = await inn(session, "trust", INTERFACE, FORMS[by].format(name="mari", ip=mari.ip, id=mari.id), "--yes")
    assert done.status == 0
    assert store.load_pins(session.paths).keys[str(mari.ip)] == key("mari")


@pytest.mark.parametrize("by", FORMS)
async def test_a_peer_is_reached_elsewhere_by_any_form_of_its_name(kermpany: World, tmp_path: Path, by: str) -> None:
    mari = kermpany.peer("mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
        who = FORMS[by].format(name="mari", ip=mari.ip, id=mari.id)
        done = await inn(session, "override-peer-endpoint", INTERFACE, who, "-e", "192.0.2.9:7", "--yes", "--json")
        assert done.json == {"name": "mari", "ip": str(mari.ip), "endpoint": "192.0.2.9:7"}
        missed = await inn(session, "override-peer-endpoint", INTERFACE, "marri", "-e", "192.0.2.9:7", "--yes")
    assert (missed.status, missed.code) == (4, "peer_not_found")
    assert 'did you mean "mari"?' in missed.err
