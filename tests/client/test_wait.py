"""`--wait`: a changing verb returns when all connected peers that it concerns have it, and names who has not."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from innerd.coordinator.presence import Observed
from innerd.domain.values import parse_endpoint
from innerd.log.lock import take
from innerd.serve.listener import Listener, control_socket
from tests.client.commands import CHANGES, WRITING, Done, Host
from tests.client.conftest import NETWORK
from tests.client.support import eventually
from tests.world import World, populated

Innerd = Callable[..., Awaitable[Done]]


@pytest.fixture
async def kermpany() -> World:
    return await populated()


@pytest.fixture
async def innerd(kermpany: World, host: Host) -> AsyncIterator[Innerd]:
    """`innerd` on the coordinator's host, where this world is served."""
    async with kermpany.listening():
        kermpany.provide(is_serving=True)
        way = host.run_dir / f"{NETWORK}.sock"
        lock = take(host.lib / f"{NETWORK}.db", way)  # as who serves a log holds it
        control = Listener(kermpany.app, control_socket(way))
        await control.start()

        async def run(*args: str) -> Done:
            return await asyncio.to_thread(host, *args)

        try:
            yield run
        finally:
            await control.stop()
            os.close(lock)


async def reports(kermpany: World, name: str, revision: int | None = None, **refused: str) -> None:
    """A receipt of a peer."""
    revision = kermpany.writer.network.revision if revision is None else revision
    said = [{"peer": kermpany.peer(who).id, "reason": why} for who, why in refused.items()]
    async with kermpany.client(name) as client:
        answer = await client.put("/v1/user/applied", json={"revision": revision, "refused": said})
    assert answer.status_code == 204, answer.text


@contextlib.asynccontextmanager
async def obedient(kermpany: World, *names: str, late: float = 0.0, **refused: str) -> AsyncIterator[None]:
    """Connected peers that report each revision, so many seconds late."""
    for name in names:
        await kermpany.open(name)

    async def report() -> None:
        last = 0
        while True:
            if (revision := kermpany.writer.network.revision) != last:
                await asyncio.sleep(late if last else 0.0)
                for name in names:
                    await reports(kermpany, name, revision, **refused)
                last = revision
            await asyncio.sleep(0.005)

    task = asyncio.create_task(report())
    await eventually(lambda: all(kermpany.peer(name).id in kermpany.presence.receipts for name in names))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def associate(*more: str) -> list[str]:
    return ["add-association", NETWORK, *more]


async def test_a_change_that_all_connected_peers_have_ends_well(kermpany: World, innerd: Innerd) -> None:
    async with obedient(kermpany, "ryo", "mari", late=0.3):
        began = time.monotonic()
        done = await innerd("add-association", NETWORK, "humans", "ovens", "--wait")
        took = time.monotonic() - began
    assert (done.status, done.err) == (0, "")
    first, second, *rest = done.out.splitlines()
    assert first == "humans and ovens are associated."
    assert second.startswith("2 connected peers have it, after 0.")
    assert 0.3 <= took < 5
    assert rest == ["  not connected; told when they come back: oven"]


async def test_one_peer_is_one_peer(kermpany: World, innerd: Innerd) -> None:
    async with obedient(kermpany, "ryo"):
        done = await innerd("rename-peer", NETWORK, "--name", "mari", "--new-name", "m", "--wait=5")
    assert "1 connected peer has it, after " in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        associate("--wait", "humans", "ovens"),
        associate("humans", "--wait", "ovens"),
        associate("humans", "ovens", "--wait"),
        associate("--wait=5", "humans", "ovens"),
        associate("--wait", "--", "humans", "ovens"),
        ["add-association", "--wait", NETWORK, "humans", "ovens"],
    ],
    ids=["before", "between", "after", "with a time", "before a --", "before the network"],
)
async def test_wait_may_stand_anywhere_with_and_without_its_time(
    kermpany: World, innerd: Innerd, arguments: list[str]
) -> None:
    async with obedient(kermpany, "ryo"):
        done = await innerd(*arguments)
    assert (done.status, done.err) == (0, "")
    assert "1 connected peer has it, after " in done.out
    assert len(kermpany.writer.network.associations) == 1


@pytest.mark.parametrize("given", ["--wait=0", "--wait=601", "--wait=soon", "--wait=-1", "--wait="])
async def test_a_time_that_is_none_changes_nothing(kermpany: World, innerd: Innerd, given: str) -> None:
    done = await innerd("add-association", NETWORK, "humans", "ovens", given)
    assert (done.status, done.code, done.out) == (2, "usage", "")
    assert not kermpany.writer.network.associations


async def test_in_json_the_document_has_the_wait_beside_what_was_changed(kermpany: World, innerd: Innerd) -> None:
    async with obedient(kermpany, "ryo", "mari"):
        done = await innerd("add-association", NETWORK, "humans", "ovens", "--wait", "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json["association"] == {"cidr1": "humans", "cidr2": "ovens"}
    assert done.json["revision"] == done.json["wait"]["revision"] == kermpany.writer.network.revision
    wait = done.json["wait"]
    assert 0 <= wait.pop("seconds") < 5
    assert wait == {
        "revision": done.json["revision"],
        "applied": 2,
        "refused": [],
        "missing": [],
        "offline": ["oven"],
        "polling": [],
    }


async def test_without_wait_there_is_none_in_the_document(kermpany: World, innerd: Innerd) -> None:
    await kermpany.open("ryo")
    done = await innerd("add-association", NETWORK, "humans", "ovens", "--json")
    assert "wait" not in done.json


async def test_who_has_not_reported_in_time_is_named_and_the_change_is_made(kermpany: World, innerd: Innerd) -> None:
    await kermpany.open("mari")  # it never reports
    async with obedient(kermpany, "ryo"):
        began = time.monotonic()
        done = await innerd("add-association", NETWORK, "humans", "ovens", "--wait=1")
        assert 1 <= time.monotonic() - began < 4
    assert (done.status, done.code) == (5, "not_converged")
    assert "within 1 s: mari [" in done.err
    assert "1 connected peer has it" in done.out
    assert len(kermpany.writer.network.associations) == 1


async def test_in_json_who_is_missing_is_in_the_document_and_the_error_on_stderr(
    kermpany: World, innerd: Innerd
) -> None:
    await kermpany.open("mari")
    await kermpany.open("oven")
    async with obedient(kermpany, "ryo"):
        done = await innerd("add-association", NETWORK, "humans", "ovens", "--wait=1", "--json")
    assert (done.status, json.loads(done.err)["error"]["code"]) == (5, "not_converged")
    assert (done.json["wait"]["missing"], done.json["wait"]["applied"]) == (["mari", "oven"], 1)
    assert done.json["association"]


async def test_who_is_gone_polls_or_refuses_is_named_and_not_waited_for(kermpany: World, innerd: Innerd) -> None:
    tama = kermpany.peer("tama")
    await kermpany.associate("cats", "ovens")
    kermpany.presence.observe(tama.id, Observed(parse_endpoint("203.0.113.4:4"), kermpany.now, 1, 1))
    async with obedient(kermpany, "ryo", oven="pin"):
        done = await innerd("add-association", NETWORK, "humans", "cats", "--wait=5")
        assert (done.status, done.err) == (0, "")
        assert done.out.splitlines()[2:] == [
            "  refuse a part of it (inn status there says why): ryo",
            "  not connected; told when they come back: mari",
            "  innernet's clients: they ask every minute or so, and never report: tama",
        ]
        document = (await innerd("delete-association", NETWORK, "humans", "cats", "--yes", "--wait=5", "--json")).json
    found = {name: document["wait"][name] for name in ("applied", "refused", "missing", "offline", "polling")}
    assert found == {"applied": 1, "refused": ["ryo"], "missing": [], "offline": ["mari"], "polling": ["tama"]}


async def test_who_is_not_concerned_is_neither_waited_for_nor_named(kermpany: World, innerd: Innerd) -> None:
    await kermpany.open("tama")  # it never reports; nothing of this concerns the cats
    async with obedient(kermpany, "ryo", "mari"):
        await reports(kermpany, "tama")
        done = await innerd("add-association", NETWORK, "humans", "ovens", "--wait=5")
    assert (done.status, "tama" in done.out) == (0, False)


async def test_a_revocation_waits_for_those_who_lose_sight(kermpany: World, innerd: Innerd) -> None:
    async with obedient(kermpany, "ryo", "mari"):
        done = await innerd("disable-peer", NETWORK, "--name", "mari", "--yes", "--wait=5", "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json["wait"]["missing"] == []
    assert done.json["wait"]["applied"] == 1


async def test_with_nobody_connected_there_is_nobody_to_wait_for(kermpany: World, innerd: Innerd) -> None:
    began = time.monotonic()
    done = await innerd("add-association", NETWORK, "humans", "ovens", "--wait")
    assert time.monotonic() - began < 5
    assert done.out.splitlines()[1:] == [
        done.out.splitlines()[1],
        "  not connected; told when they come back: ryo, mari, oven",
    ]
    assert done.out.splitlines()[1].startswith("0 connected peers have it")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["words", "json"])
async def test_a_dry_run_waits_for_nobody(kermpany: World, innerd: Innerd, form: tuple[str, ...]) -> None:
    await kermpany.open("mari")
    asked: list[str] = []
    honest = kermpany.services.convergence.wait

    async def noting(revision: int, seconds: float) -> float:
        asked.append("wait")
        return await honest(revision, seconds)

    kermpany.services.convergence.wait = noting  # type: ignore[method-assign]
    began = time.monotonic()
    done = await innerd("add-association", NETWORK, "humans", "ovens", "--dry-run", "--wait=20", *form)
    assert time.monotonic() - began < 5
    assert (done.status, done.err, asked) == (0, "", [])
    assert not kermpany.writer.network.associations
    assert "connected peer" not in done.out


async def test_a_change_that_is_refused_waits_for_nobody(kermpany: World, innerd: Innerd) -> None:
    await kermpany.open("mari")
    began = time.monotonic()
    done = await innerd("add-association", NETWORK, "humans", "humans", "--wait=20")
    assert time.monotonic() - began < 5
    assert (done.status, done.code, done.out) == (3, "association_with_itself", "")


async def test_what_was_so_already_is_waited_for_too(kermpany: World, innerd: Innerd) -> None:
    """Whoever repeats a change that was cut short asks the same question."""
    await kermpany.associate("humans", "ovens")
    async with obedient(kermpany, "ryo"):
        done = await innerd("add-association", NETWORK, "humans", "ovens", "--wait=5", "--json")
    assert (done.status, done.json["wait"]["missing"]) == (0, [])


async def test_a_coordinator_that_stops_meanwhile_says_that_the_change_is_made(kermpany: World, innerd: Innerd) -> None:
    await kermpany.open("mari")
    running = asyncio.create_task(innerd("add-association", NETWORK, "humans", "ovens", "--wait=20", "--json"))
    await eventually(lambda: kermpany.writer.network.associations)
    await asyncio.sleep(0.2)
    await kermpany.hub.shut_down()
    async with asyncio.timeout(10):
        done = await running
    error = json.loads(done.err)["error"]
    assert (done.status, error["code"]) == (5, "store_unavailable")
    assert error["message"].startswith("the change is made")
    assert done.json["association"] == {"cidr1": "humans", "cidr2": "ovens"}


# -- where nobody serves ----------------------------------------------------------------------------------------------


def test_where_nobody_serves_nobody_can_hear_and_the_change_is_made(host: Host) -> None:
    done = host("add-association", NETWORK, "humans", "ovens", "--wait")
    assert (done.status, done.code) == (5, "not_serving")
    assert "the change is made" in done.err
    assert "humans and ovens are associated." in done.out
    assert len(host.json("list-associations", NETWORK)["associations"]) == 1


def test_where_nobody_serves_the_json_document_is_there_all_the_same(host: Host) -> None:
    done = host("add-association", NETWORK, "humans", "ovens", "--wait", "--json")
    assert (done.status, json.loads(done.err)["error"]["code"]) == (5, "not_serving")
    assert done.json["association"] == {"cidr1": "humans", "cidr2": "ovens"}


@pytest.mark.parametrize("verb", CHANGES)
def test_every_changing_verb_can_wait(busy: Host, verb: str, tmp_path: Path) -> None:
    saved = ["--save-config", str(tmp_path / "saved.toml")] if verb in WRITING else []
    done = busy(verb, NETWORK, *CHANGES[verb], *saved, "--wait=3", "--json")
    assert (done.status, json.loads(done.err)["error"]["code"]) == (5, "not_serving"), done
    assert done.json["revision"]


@pytest.mark.parametrize("verb", ["list-peers", "show", "status", "audit", "list-cidrs"])
def test_what_only_looks_does_not_wait(host: Host, verb: str) -> None:
    assert host.refused(verb, NETWORK, "--wait") == (2, "usage")
