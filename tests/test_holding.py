"""Who has a log open, asked of the log's own lock; and waiting for those who have it for a moment."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from innerd.config import Paths
from innerd.failure import Failure
from innerd.log.lock import Holder, StoreLocked, take
from innerd.serve import holding
from innerd.serve.listener import control_socket


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths("kermpany", tmp_path / "etc", tmp_path / "lib", tmp_path / "run")
    made.data_dir.mkdir()
    made.database.touch()
    return made


@pytest.fixture
def served(paths: Paths) -> Iterator[Paths]:
    """Somebody serves it."""
    lock = take(paths.database, paths.socket)
    with control_socket(paths.socket):
        yield paths
    os.close(lock)


async def test_a_log_that_nobody_has_is_ours(paths: Paths) -> None:
    lock = await holding.lock(paths)
    with pytest.raises(StoreLocked) as refused:
        take(paths.database)
    assert refused.value.holder == Holder(os.getpid())
    os.close(lock)


async def test_who_serves_a_log_is_found_by_the_log(served: Paths, tmp_path: Path) -> None:
    elsewhere = Paths("kermpany", served.config_dir, served.data_dir, tmp_path / "another-run")
    for asked in (served, elsewhere):
        found = await holding.way(asked)
        assert isinstance(found, holding.Served)
        assert found.socket == served.socket
    with pytest.raises(Failure, match=rf"pid {os.getpid()}\)") as refused:
        await holding.lock(served)
    assert (refused.value.status, refused.value.code) == (6, "already_running")


async def test_who_serves_a_copy_is_nobody_though_the_socket_has_its_name(served: Paths, tmp_path: Path) -> None:
    shutil.copytree(served.data_dir, tmp_path / "copy")
    copy = Paths("kermpany", served.config_dir, tmp_path / "copy", served.runtime_dir)
    lock = await holding.way(copy)
    assert isinstance(lock, int)
    os.close(lock)


async def test_a_coordinator_that_says_nothing_in_its_lock_is_found_by_its_socket(served: Paths) -> None:
    served.database.with_name("kermpany.db-lock").write_text("")  # as an earlier release leaves it
    assert isinstance(await holding.way(served), holding.Served)


async def test_a_verb_that_holds_a_log_for_a_moment_is_waited_for(paths: Paths) -> None:
    lock = take(paths.database)
    waiting = [asyncio.create_task(holding.lock(paths, serves=True)), asyncio.create_task(holding.lock(paths))]
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert not done
    os.close(lock)
    first, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    os.close(first.pop().result())
    os.close(await others.pop())


async def test_who_waits_for_a_coordinator_that_starts_finds_its_socket(paths: Paths) -> None:
    lock = take(paths.database, paths.socket)
    waiting = asyncio.create_task(holding.way(paths))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    with control_socket(paths.socket):
        assert isinstance(await waiting, holding.Served)
    os.close(lock)


async def test_who_holds_it_too_long_is_named(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 0.2)
    lock = take(paths.database)
    with pytest.raises(Failure, match=rf"held by .+ \(pid {os.getpid()}\)") as refused:
        await holding.lock(paths)
    assert refused.value.code == "already_running"
    os.close(lock)


async def test_without_a_database_there_is_nothing_to_hold(paths: Paths) -> None:
    paths.database.unlink()
    with pytest.raises(Failure) as refused:
        await holding.way(paths)
    assert refused.value.code == "network_not_found"
