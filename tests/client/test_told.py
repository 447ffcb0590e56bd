"""`inn events` and `inn trust`, through a running agent and through the files where none runs."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from innclient.agent import store
from innclient.agent.run import cycle
from innclient.agent.session import Keeper
from innclient.core.changes import Entry
from innclient.core.pins import Pins, check
from innerd.command import prompt
from innerd.domain import commands as c
from innerd.domain.values import Name
from tests.client.agents import agent_of, inn
from tests.client.support import eventually, keeper_of, on_device, paths_in
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
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(keeper):
            await eventually(lambda: keeper.applied)
            await kermpany.do(c.RenamePeer(kermpany.peer("mari").id, Name("mari-laptop")))
            revision = kermpany.writer.network.revision
            await eventually(lambda: keeper.applied == revision)
            done = await inn(keeper, "events", INTERFACE)
            assert (done.status, done.err) == (0, "")
            lines = done.out.splitlines()
            assert f"connected; the log is at revision {revision - 1}" in lines[0]
            assert lines[-1].endswith(f"mari ({kermpany.peer('mari-laptop').ip}) is called mari-laptop now")
            assert lines[-1].split()[0] == str(revision)
            document = (await inn(keeper, "events", INTERFACE, "--json")).json
            assert [e["seq"] for e in document["events"]] == list(range(1, len(lines) + 1))
            last = document["events"][-1]
            assert (document["revision"], last["revision"], last["type"]) == (revision, revision, "peer.renamed")
            assert last["subject"] == f"peer:{kermpany.peer('mari-laptop').id}"
            assert last["at"] == pytest.approx(time.time(), abs=60)


async def test_without_an_agent_events_come_from_the_files(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        await cycle(keeper)
    said = (await inn(keeper, "events", INTERFACE)).out
    assert f"mari ({kermpany.peer('mari').ip}, humans) is in sight" in said
    document = (await inn(keeper, "events", INTERFACE, "--json")).json
    assert len(document["events"]) == len(said.splitlines())


async def test_where_nothing_was_told_yet_there_are_no_events(kermpany: World, tmp_path: Path) -> None:
    keeper = keeper_of(kermpany, "ryo", tmp_path, 1)
    await keeper.http.aclose()
    done = await inn(keeper, "events", INTERFACE)
    assert done == (0, "", "")
    assert (await inn(keeper, "events", INTERFACE, "--json")).json == {"events": [], "revision": 0}


async def test_events_of_an_interface_that_is_none_are_not_found(kermpany: World, tmp_path: Path) -> None:
    keeper = keeper_of(kermpany, "ryo", tmp_path, 1)
    await keeper.http.aclose()
    done = await inn(keeper, "events", "nowhere")
    assert (done.status, done.out) == (4, "")


async def test_without_an_agent_nothing_can_be_followed(kermpany: World, tmp_path: Path) -> None:
    keeper = keeper_of(kermpany, "ryo", tmp_path, 1)
    await keeper.http.aclose()
    done = await inn(keeper, "events", INTERFACE, "--follow")
    assert (done.status, done.code, done.out) == (5, "no_agent", "")


async def test_what_is_said_of_a_network_reaches_a_terminal_escaped(kermpany: World, tmp_path: Path) -> None:
    keeper = keeper_of(kermpany, "ryo", tmp_path, 1)
    await keeper.http.aclose()
    keeper.journal.add([entry("the coordinator ended the stream: \x1b[2J\n6.6.6.6\x9b1m\u202ebank")])
    (line,) = (await inn(keeper, "events", INTERFACE)).out.splitlines()
    assert line.isprintable()
    assert r"\x1b[2J\n6.6.6.6\x9b1m\u202ebank" in line


async def test_who_follows_is_told_what_happens_one_document_a_line_until_the_agent_ends(
    kermpany: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("innclient.agent.run._FOLLOW", 0.3)
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(keeper):
            await eventually(lambda: keeper.applied)
            before = len(keeper.journal.after(0))
            following = asyncio.create_task(inn(keeper, "events", INTERFACE, "-f", "--json"))
            await asyncio.sleep(0.5)  # more than one question with nothing to answer
            await kermpany.associate("humans", "ovens")
            await eventually(lambda: any(e.text.startswith("oven ") for e in keeper.journal.after(before)))
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


async def refusing(keeper: Keeper, *names: str) -> None:
    await eventually(lambda: {b.name for b in keeper.pins.broken.values()} == set(names) and keeper.applied)


FORMS = {"name": "{name}", "DNS": "{name}.kermpany.wg", "address": "{ip}", "number": "{id}", "subject": "peer:{id}"}


@pytest.mark.parametrize("by", FORMS)
async def test_a_key_that_is_trusted_is_on_the_device_and_no_longer_reported_as_refused(
    kermpany: World, tmp_path: Path, by: str
) -> None:
    mari, ryo = kermpany.peer("mari"), kermpany.peer("ryo")
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(keeper):
            await refusing(keeper, "mari")
            receipts = kermpany.presence.receipts
            await eventually(lambda: ryo.id in receipts and receipts[ryo.id].refused == ((mari.id, "pin"),))
            assert key("mari") not in on_device(keeper)
            who = FORMS[by].format(name="mari", ip=mari.ip, id=mari.id)
            done = await inn(keeper, "trust", INTERFACE, who, "--yes")
            assert (done.status, done.err) == (0, "")
            assert key("mari of old") in done.out
            assert done.out.splitlines()[-1] == f"{key('mari')} is the key of mari ({mari.ip}) from now on."
            assert key("mari") in on_device(keeper)
            await eventually(lambda: kermpany.presence.receipts[ryo.id].refused == (), "a receipt", within=3)
            assert kermpany.presence.receipts[ryo.id].revision == kermpany.writer.network.revision
            assert "mari.kermpany.wg" in keeper.choices.names.path.read_text()
            assert (await inn(keeper, "status", INTERFACE)).status == 0
            assert store.load_pins(keeper.paths).keys[str(mari.ip)] == key("mari")
            assert keeper.journal.after(0)[-1].type == "key.trusted"


async def test_trust_in_json_is_one_document(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(keeper):
            await refusing(keeper, "mari")
            done = await inn(keeper, "trust", INTERFACE, "mari", "--yes", "--json")
    ip = str(kermpany.peer("mari").ip)
    assert done.json == {"peer": "mari", "ip": ip, "pinned": key("mari"), "was": key("mari of old")}


async def test_trusting_one_key_trusts_no_other(kermpany: World, tmp_path: Path) -> None:
    await kermpany.associate("humans", "ovens")
    pin(tmp_path, kermpany, "mari", "oven")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(keeper):
            await refusing(keeper, "mari", "oven")
            await inn(keeper, "trust", INTERFACE, "mari", "--yes")
            assert on_device(keeper) == {key("coordinator"), key("mari")}
            assert (await inn(keeper, "status", INTERFACE)).status == 7


@pytest.mark.parametrize("runs", [True, False], ids=["agent", "files"])
async def test_who_is_not_refused_can_not_be_trusted(kermpany: World, tmp_path: Path, runs: bool) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        if runs:
            async with agent_of(keeper):
                await refusing(keeper, "mari")
                found = [await inn(keeper, "trust", INTERFACE, who, "--yes") for who in ("ryo", "nobody", "6.6.6.6")]
        else:
            await cycle(keeper)
            found = [await inn(keeper, "trust", INTERFACE, who, "--yes") for who in ("ryo", "nobody", "6.6.6.6")]
    assert {(done.status, done.code, done.out) for done in found} == {(4, "no_such_break", "")}
    assert set(store.load_pins(keeper.paths).broken) == {str(kermpany.peer("mari").ip)}


async def test_without_a_terminal_and_without_yes_nothing_is_trusted(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(keeper):
            await refusing(keeper, "mari")
            done = await inn(keeper, "trust", INTERFACE, "mari")
            assert (done.status, done.code) == (2, "missing_flag")
            assert "--yes" in done.err
            assert keeper.pins.broken
            assert key("mari") not in on_device(keeper)


@pytest.mark.parametrize("runs", [True, False], ids=["agent", "files"])
async def test_a_key_that_changed_while_it_was_looked_at_is_not_trusted(
    kermpany: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    ip = str(kermpany.peer("mari").ip)
    pin(tmp_path, kermpany, "mari")

    def changed(pins: Pins) -> Pins:
        return Pins(pins.keys, {ip: replace(pins.broken[ip], offered=key("third"))})

    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)

        def look_long(question: str, *, yes: bool) -> None:
            if runs:
                keeper.core.pins = changed(keeper.core.pins)
            else:
                store.save_pins(keeper.paths, changed(store.load_pins(keeper.paths)))

        monkeypatch.setattr(prompt, "confirm", look_long)
        if runs:
            async with agent_of(keeper):
                await refusing(keeper, "mari")
                done = await inn(keeper, "trust", INTERFACE, "mari")
                assert keeper.pins.keys[ip] == key("mari of old")
                assert not on_device(keeper) & {key("mari"), key("third")}
        else:
            await cycle(keeper)
            done = await inn(keeper, "trust", INTERFACE, "mari")
    assert (done.status, done.code) == (7, "key_changed")
    assert store.load_pins(keeper.paths).keys[ip] == key("mari of old")


async def test_without_an_agent_the_files_trust_and_the_next_run_believes_it(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        await cycle(keeper)
        assert key("mari") not in on_device(keeper)
        done = await inn(keeper, "trust", INTERFACE, "mari", "--yes")
        assert (done.status, done.out.splitlines()[-1].split()[0]) == (0, key("mari"))
        pins = store.load_pins(keeper.paths)
        assert (pins.keys[str(kermpany.peer("mari").ip)], pins.broken) == (key("mari"), {})
        again = keeper_of(kermpany, "ryo", tmp_path, port)
        await cycle(again)
        assert key("mari") in on_device(again)
    assert kermpany.presence.receipts[kermpany.peer("ryo").id].refused == ()


async def test_the_files_are_left_alone_while_another_inn_works_on_them(kermpany: World, tmp_path: Path) -> None:
    from innclient.agent.run import holding

    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        await cycle(keeper)
    before = keeper.paths.pins.read_bytes()
    with holding(keeper.paths):
        done = await inn(keeper, "trust", INTERFACE, "mari", "--yes")
    assert (done.status, done.code) == (6, "interface_busy")
    assert keeper.paths.pins.read_bytes() == before


async def test_what_was_trusted_is_pinned_like_any_other_key(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        await cycle(keeper)
        await inn(keeper, "trust", INTERFACE, "mari", "--yes")
    pins = store.load_pins(keeper.paths)
    mari = replace(store.load_netmap(keeper.paths)[0].peers[kermpany.peer("mari").id], public_key=key("third"))
    assert check(pins, [mari], 5.0).broken[str(mari.ip)].pinned == key("mari")


@pytest.mark.parametrize("by", FORMS)
async def test_a_key_is_trusted_by_the_files_in_any_form(kermpany: World, tmp_path: Path, by: str) -> None:
    mari = kermpany.peer("mari")
    pin(tmp_path, kermpany, "mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        await cycle(keeper)
        done = await inn(keeper, "trust", INTERFACE, FORMS[by].format(name="mari", ip=mari.ip, id=mari.id), "--yes")
    assert done.status == 0
    assert store.load_pins(keeper.paths).keys[str(mari.ip)] == key("mari")


@pytest.mark.parametrize("by", FORMS)
async def test_a_peer_is_reached_elsewhere_by_any_form_of_its_name(kermpany: World, tmp_path: Path, by: str) -> None:
    mari = kermpany.peer("mari")
    async with kermpany.listening() as port:
        keeper = keeper_of(kermpany, "ryo", tmp_path, port)
        await cycle(keeper)
        who = FORMS[by].format(name="mari", ip=mari.ip, id=mari.id)
        done = await inn(keeper, "override-peer-endpoint", INTERFACE, who, "-e", "192.0.2.9:7", "--yes", "--json")
        assert done.json == {"name": "mari", "ip": str(mari.ip), "endpoint": "192.0.2.9:7"}
        missed = await inn(keeper, "override-peer-endpoint", INTERFACE, "marri", "-e", "192.0.2.9:7", "--yes")
    assert (missed.status, missed.code) == (4, "peer_not_found")
    assert 'did you mean "mari"?' in missed.err
