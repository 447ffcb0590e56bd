"""Checks of `doctor` that a container's host meets: folders that others may look into, and few capabilities."""

import subprocess
import sys
from pathlib import Path

import pytest

from innerd.host import checks


@pytest.mark.parametrize(
    ("folder", "file", "states"),
    [(0o700, 0o600, []), (0o755, 0o600, ["warning"]), (0o777, 0o600, ["failed"]), (0o700, 0o644, ["failed"])],
)
def test_a_folder_that_others_may_look_into_is_no_failure(
    tmp_path: Path, folder: int, file: int, states: list[str]
) -> None:
    kept = tmp_path / "innerd"
    kept.mkdir()
    (kept / "kermpany.db").touch()
    (kept / "kermpany.db").chmod(file)
    kept.chmod(folder)
    assert [found.state for found in checks.modes("config", kept, kept / "kermpany.db")] == states


@pytest.mark.parametrize(("finds_ways", "count"), [(True, 2), (False, 1)])
def test_only_a_peer_needs_raw_sockets(finds_ways: bool, count: int) -> None:
    said = f"from innerd.host import checks; print(len(list(checks.privileges(finds_ways={finds_ways}))))"
    without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    done = subprocess.run([*without, sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout == f"{count}\n"
