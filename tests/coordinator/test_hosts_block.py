"""The hosts block of the coordinator's own host: written where it is not what it should be, and else only looked at."""

from pathlib import Path

import pytest

from innerd.failure import Failure
from innerd.host import hostsfile
from innerd.serve.hosts import HostsBlock
from tests.world import populated


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "hosts"
    made.write_text("127.0.0.1 localhost\n")
    return made


async def test_it_is_written_once_and_again_when_somebody_wrote_to_the_file(file: Path) -> None:
    w = await populated()
    block = HostsBlock(file, "kermpany", "kermpany.wg", lambda: w.writer.network)
    assert await block.look()
    written = file.read_text()
    assert "mari.kermpany.wg" in written
    assert block.shown == w.writer.network.revision
    assert await block.look(), "somebody may have written to it at that moment"
    assert not await block.look()
    file.write_text("127.0.0.1 localhost\n")
    assert await block.look()
    assert file.read_text() == written
    file.unlink()
    assert await block.look()
    assert "mari.kermpany.wg" in file.read_text()


async def test_what_somebody_writes_right_after_us_is_found(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = await populated()
    block, update = HostsBlock(file, "kermpany", "kermpany.wg", lambda: w.writer.network), hostsfile.update

    def overtaken(path: Path, interface: str, lines: list[bytes]) -> bool:
        is_new = update(path, interface, lines)
        if is_new:
            path.write_text("127.0.0.1 localhost\n")
        return is_new

    monkeypatch.setattr(hostsfile, "update", overtaken)
    await block.look()
    monkeypatch.setattr(hostsfile, "update", update)
    await block.look()
    assert "mari.kermpany.wg" in file.read_text()


async def test_while_nothing_happens_the_file_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = await populated()
    block = HostsBlock(file, "kermpany", "kermpany.wg", lambda: w.writer.network)
    await block.look()
    await block.look()

    def read(*_: object) -> bool:
        raise AssertionError("it was read")

    monkeypatch.setattr(hostsfile, "update", read)
    assert not await block.look()


async def test_what_could_not_be_written_is_tried_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = await populated()
    block = HostsBlock(file, "kermpany", "kermpany.wg", lambda: w.writer.network)
    update = hostsfile.update

    def full(*_: object) -> bool:
        raise Failure(5, "disk_full", "the disk is full", "make room")

    monkeypatch.setattr(hostsfile, "update", full)
    for _ in range(2):
        assert await block.look()
        assert [trouble.code for trouble in block.troubles()] == ["disk_full"]
    monkeypatch.setattr(hostsfile, "update", update)
    assert await block.look()
    assert list(block.troubles()) == []
    assert await block.look()
    assert not await block.look()
