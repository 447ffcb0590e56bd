"""Files that hold keys: private from the first byte, whole or not there, and one writer at a time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from innerd.host import files


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("no_umask")
def test_files_with_keys_are_private_whatever_the_umask(tmp_path: Path) -> None:
    files.create(tmp_path / "new", b"key")
    files.write_atomically(tmp_path / "other", b"key")
    assert mode(tmp_path / "new") == 0o600
    assert mode(tmp_path / "other") == 0o600


@pytest.mark.usefixtures("no_umask")
def test_folders_with_keys_are_private_whatever_the_umask(tmp_path: Path) -> None:
    files.make_private(tmp_path / "inn")
    assert mode(tmp_path / "inn") == 0o700


@pytest.mark.usefixtures("no_umask")
def test_a_folder_made_on_the_way_to_a_private_one_can_be_changed_by_nobody_else(tmp_path: Path) -> None:
    files.make_private(tmp_path / "lib" / "kermpany")
    assert mode(tmp_path / "lib") & 0o022 == 0  # who may write there may swap the private folder for another


def test_a_file_replaced_is_private_again(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_bytes(b"old")
    target.chmod(0o644)
    files.write_atomically(target, b"new")
    assert (mode(target), target.read_bytes()) == (0o600, b"new")


def test_a_reader_sees_the_old_file_or_the_new_one_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "config"
    files.create(target, b"old" * 1000)
    with target.open("rb") as reader:
        files.write_atomically(target, b"new")
        assert reader.read() == b"old" * 1000
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.mkdir()  # nothing can be renamed over a folder
    (target / "inside").write_bytes(b"kept")
    with pytest.raises(OSError, match="directory"):
        files.write_atomically(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["config"]
    assert (target / "inside").read_bytes() == b"kept"


def test_a_new_file_never_touches_one_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "config", b"new")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "link", b"new")
    assert (tmp_path / "config").read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()


def test_removing_says_whether_there_was_something(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"")
    assert files.remove(tmp_path / "key")
    assert not files.remove(tmp_path / "key")


def test_a_lock_is_free_again_after_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "run" / "kermpany.lock"
    with files.locked(path), pytest.raises(files.Locked), files.locked(path):
        pass
    with files.locked(path):
        assert mode(path) == 0o600


def test_a_lock_holds_against_another_process_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "kermpany.lock"
    program = (
        "import sys; from pathlib import Path; from innerd.host import files\n"
        "with files.locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(files.Locked), files.locked(path):
            pass
        holder.kill()
        holder.wait()
        with files.locked(path):
            pass


@pytest.mark.usefixtures("strict_umask")
def test_the_folder_of_sockets_is_open_to_all_whatever_the_umask(tmp_path: Path) -> None:
    with files.locked(tmp_path / "run" / "kermpany.lock"):
        pass
    assert mode(tmp_path / "run") == 0o755


def test_an_error_under_the_lock_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError, match="something else"), files.locked(tmp_path / "lock"):
        raise BlockingIOError("something else")
