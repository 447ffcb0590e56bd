"""`inn verify`, with an agent and without: two clients compare what they saw, and a coordinator that showed each of
them another log is caught."""

import asyncio
from pathlib import Path

import pytest

from innclient.agent import store
from innclient.agent.run import cycle
from innclient.agent.session import Session
from innclient.core.witness import Seen, Witnessed
from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.log.memory import MemoryStore
from innerd.wire.checkpoint import Checkpoint, read, sign, signer
from innerd.wire.note import Signer, parse_verifier, parted
from innerd.wire.stream import CheckpointJson, frame
from tests.client.agents import agent_of, inn
from tests.client.support import eventually, session_of
from tests.world import INTERFACE, World, key, populated


@pytest.fixture
async def kermpany() -> World:
    return await populated()


async def fork_of(original: World) -> World:
    """The same coordinator, with the same key and the same log so far, for another audience."""
    store = MemoryStore()
    store.records = list(original.store.records)
    twin = World(store)
    twin.now = original.now
    await twin.start()
    return twin


async def saw(kermpany: World, name: str, folder: Path) -> Session:
    """One client that was connected for a moment."""
    await kermpany.start()
    async with kermpany.listening() as port:
        session = session_of(kermpany, name, folder / name, port)
        await cycle(session)
    return session


async def exported(session: Session, folder: Path) -> str:
    done = await inn(session, "verify", INTERFACE, "--export")
    assert (done.status, done.err) == (0, "")
    file = folder / f"{session.paths.data.parent.parent.name}.note"
    file.write_text(done.out)
    return str(file)


async def rename(w: World, name: str) -> None:
    await w.do(c.RenamePeer(w.peer("oven").id, Name(name)))
    w.now += 2  # a signature a second


async def test_two_that_saw_one_log_agree(kermpany: World, tmp_path: Path) -> None:
    ryo, mari = await saw(kermpany, "ryo", tmp_path), await saw(kermpany, "mari", tmp_path)
    done = await inn(ryo, "verify", INTERFACE, await exported(mari, tmp_path))
    assert (done.status, done.err) == (0, "")
    revision = kermpany.writer.network.revision
    assert f"signed by: {kermpany.hub.checkpoints.key}" in done.out
    assert done.out.splitlines()[-1].endswith(f"at 1 revisions, the last at revision {revision} (generation 1)")
    document = (await inn(ryo, "verify", INTERFACE, await exported(mari, tmp_path), "--json")).json
    assert document["same"] == [{"generation": 1, "revision": revision}]
    assert document["told"] == {"generation": 1, "revision": revision, "hash": kermpany.writer.head_hash}
    assert (document["contradictions"], document["forks"]) == ([], [])
    (checkpoint,) = document["checkpoints"]
    assert read(checkpoint["note"], parse_verifier(document["key"])).hash == checkpoint["hash"]


async def test_a_coordinator_that_shows_two_clients_two_logs_is_caught_with_the_proof(
    kermpany: World, tmp_path: Path
) -> None:
    """It adds another event for each of them, at one revision: each is shown a log that holds."""
    other = await fork_of(kermpany)
    await rename(kermpany, "kiln")
    await rename(other, "stove")
    assert kermpany.writer.network.revision == other.writer.network.revision
    ryo, mari = await saw(kermpany, "ryo", tmp_path), await saw(other, "mari", tmp_path)
    for one, two in ((ryo, mari), (mari, ryo)):
        assert (await inn(one, "verify", INTERFACE)).status == 0, "alone, nobody can tell"
        done = await inn(one, "verify", INTERFACE, await exported(two, tmp_path))
        assert (done.status, done.code) == (7, "log_forked")
        assert "the two notes together are the proof" in done.err
        by = parse_verifier(str(kermpany.hub.checkpoints.key))
        printed = done.out.partition("FORKED")[2].partition("\n\n")[2].rstrip("\n") + "\n"
        first, second = (read(note, by) for note in parted(printed))
        assert first.at == second.at == (1, other.writer.network.revision)
        assert {first.hash, second.hash} == {kermpany.writer.head_hash, other.writer.head_hash}
    document = (await inn(ryo, "verify", INTERFACE, await exported(mari, tmp_path), "--json")).json
    assert len(document["contradictions"]) == 1


async def test_a_client_that_was_moved_to_another_log_has_the_proof_itself(kermpany: World, tmp_path: Path) -> None:
    other = await fork_of(kermpany)
    await rename(kermpany, "kiln")
    await rename(other, "stove")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            await eventually(lambda: session.applied == kermpany.writer.network.revision)
            mine = kermpany.hub.streams.by_peer[kermpany.peer("ryo").id]
            note = other.hub.checkpoints.newest()
            kermpany.hub.streams.write(mine, frame("checkpoint", CheckpointJson(note=str(note))))
            await eventually(lambda: session.agent.connection.forked or session.membership.witnessed.forks)
            done = await inn(session, "verify", INTERFACE)
            assert (done.status, done.code) == (7, "log_forked")
            await eventually(lambda: store.load_witnessed(session.paths).forks)
    assert (await inn(session, "verify", INTERFACE)).status == 7  # and from the files


async def test_rounds_give_clients_a_revision_in_common(kermpany: World, tmp_path: Path) -> None:
    """They came at different revisions, and what moved the log since concerned neither."""
    async with kermpany.listening() as port:
        ryo, mari = (session_of(kermpany, name, tmp_path / name, port) for name in ("ryo", "mari"))
        async with agent_of(ryo):
            await eventually(lambda: ryo.applied)
            await rename(kermpany, "kiln")
            await mari.bring_up()
            following = asyncio.create_task(mari.run())
            await eventually(lambda: mari.applied)
            await kermpany.do(c.RenamePeer(kermpany.peer("kiln").id, Name("stove")))
            kermpany.now += 2
            await kermpany.hub.sender.tell_checkpoint()
            at = (1, kermpany.writer.network.revision)
            await eventually(lambda: at in ryo.membership.witnessed.hashes and at in mari.membership.witnessed.hashes)
            await eventually(lambda: at in store.load_witnessed(mari.paths).hashes, "written down")
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            done = await inn(ryo, "verify", INTERFACE, await exported(mari, tmp_path), "--json")
            assert {"generation": at[0], "revision": at[1]} in done.json["same"]


async def test_where_nothing_is_in_common_that_is_said_and_what_helps(kermpany: World, tmp_path: Path) -> None:
    ryo = await saw(kermpany, "ryo", tmp_path)
    await rename(kermpany, "kiln")
    mari = await saw(kermpany, "mari", tmp_path)
    done = await inn(mari, "verify", INTERFACE, await exported(ryo, tmp_path))
    assert (done.status, done.code) == (4, "no_common_checkpoint")
    assert "innerd verify --checkpoint" in done.err


def by_hand(kermpany: World, revision: int, hash_: str, *, generation: int = 1, secret: bytes | None = None) -> str:
    network = kermpany.writer.network.id
    by = Signer(f"innerd/{network}", secret) if secret else kermpany.hub.checkpoints._signer
    assert by is not None
    return sign(by, Checkpoint(network, generation, revision, hash_))


async def test_what_was_told_but_not_signed_is_compared_too(kermpany: World, tmp_path: Path) -> None:
    ryo = await saw(kermpany, "ryo", tmp_path)
    witnessed = store.load_witnessed(ryo.paths)
    first = by_hand(kermpany, 1, "00" * 32)
    store.save_witnessed(ryo.paths, Witnessed(witnessed.key, (Seen(first, 1.0),)))
    file = tmp_path / "note"
    file.write_text(by_hand(kermpany, kermpany.writer.network.revision, "11" * 32))
    done = await inn(ryo, "verify", INTERFACE, str(file))
    assert (done.status, done.code) == (7, "log_forked")
    assert "was told otherwise here" in done.err


async def test_other_generations_are_not_compared(kermpany: World, tmp_path: Path) -> None:
    ryo = await saw(kermpany, "ryo", tmp_path)
    file = tmp_path / "note"
    file.write_text(by_hand(kermpany, kermpany.writer.network.revision, "11" * 32, generation=2))
    done = await inn(ryo, "verify", INTERFACE, str(file))
    assert (done.status, done.code) == (4, "no_common_checkpoint")
    assert "no log has two generations" in done.err


async def test_files_that_prove_nothing_are_called_what_they_are(kermpany: World, tmp_path: Path) -> None:
    ryo = await saw(kermpany, "ryo", tmp_path)
    head = (kermpany.writer.network.revision, kermpany.writer.head_hash)
    foreign = Checkpoint("ff" * 16, 1, *head)
    texts = {
        "empty": ("", 2, "invalid_checkpoint"),
        "no note": ("hello\n", 2, "invalid_checkpoint"),
        "cut": (by_hand(kermpany, *head)[:-5], 2, "invalid_checkpoint"),
        "another network's": (sign(signer(bytes(32), "ff" * 16), foreign), 2, "invalid_checkpoint"),
        "another key's": (by_hand(kermpany, *head, secret=bytes(32)), 7, "checkpoint_unsigned"),
        "changed": (by_hand(kermpany, *head).replace("generation 1", "generation 2"), 7, "checkpoint_unsigned"),
    }
    for what, (text, status, code) in texts.items():
        file = tmp_path / "file.note"
        file.write_text(text)
        done = await inn(ryo, "verify", INTERFACE, str(file))
        assert (done.status, done.code) == (status, code), what
    (tmp_path / "file.note").write_bytes(b"\xff\xfe")
    assert (await inn(ryo, "verify", INTERFACE, str(tmp_path / "file.note"))).code == "invalid_checkpoint"
    assert (await inn(ryo, "verify", INTERFACE, str(tmp_path / "none"))).code == "file_not_found"


async def test_usage(kermpany: World, tmp_path: Path) -> None:
    ryo = session_of(kermpany, "ryo", tmp_path, 1)
    await ryo.http.aclose()
    done = await inn(ryo, "verify", INTERFACE)
    assert (done.status, done.code) == (4, "no_checkpoint")
    assert (await inn(ryo, "verify", "nowhere")).status == 4
    for more in (["--json"], ["x"]):
        assert (await inn(ryo, "verify", INTERFACE, "--export", *more)).status == 2


async def test_the_pinned_key_is_the_coordinators_whoever_asks(kermpany: World, tmp_path: Path) -> None:
    sessions = [await saw(kermpany, name, tmp_path) for name in ("ryo", "mari")]
    assert {store.load_witnessed(session.paths).key for session in sessions} == {kermpany.hub.checkpoints.key}
    assert key("coordinator") not in str(kermpany.hub.checkpoints.key)
