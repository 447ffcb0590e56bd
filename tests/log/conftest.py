"""A log in a file, made once by the writer itself; each test gets a copy to do things to."""

import shutil
from pathlib import Path

import pytest

from tests.log.tampering import honest


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "net.db"
    honest(path)
    return path


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Path:
    """A log of nine events that holds."""
    return Path(shutil.copy(original, tmp_path / "net.db"))
