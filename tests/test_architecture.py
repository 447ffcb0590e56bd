"""What holds for the tree as a whole. The rings themselves are import-linter's (`make check`)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(file for room in ("innerd", "dns/inndns", "client/innclient") for file in (ROOT / room).rglob("*.py"))
LONGEST = 420  # lines: a longer file holds more than one thing
MOST_PARAMETERS = 8  # of a constructor: who needs more is given what belongs together as one
MOST_ATTRIBUTES = 15  # of an object, that others read


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_opens_with_what_it_is_for_and_holds_no_more_than_one_thing(file: Path) -> None:
    text = file.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= LONGEST
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert parameters_of(node) <= MOST_PARAMETERS, node.name
            assert len(attributes_of(node)) <= MOST_ATTRIBUTES, node.name


def parameters_of(node: ast.ClassDef) -> int:
    made = (part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__")
    return max((len(init.args.args) + len(init.args.kwonlyargs) - 1 for init in made), default=0)


def attributes_of(node: ast.ClassDef) -> set[str]:
    """The public attributes that an object's own methods set."""
    set_ = (part for part in ast.walk(node) if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store))
    own = (part.attr for part in set_ if isinstance(part.value, ast.Name) and part.value.id == "self")
    return {name for name in own if not name.startswith("_")}


@pytest.mark.parametrize("heavy", ["uvicorn", "aiosqlite", "sqlite3", "prometheus_client"])
def test_the_client_starts_without_what_only_the_coordinator_needs(heavy: str) -> None:
    """Every command of `inn` would pay for it."""
    check = f"import innclient.cli, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0


def test_the_wheel_carries_the_migrations(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    listing = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(next(tmp_path.glob("*.whl")))],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in ("innerd/migrations/0001_log.sql", "inndns/zone.py", "innclient/cli.py", "innerd/cli.py"):
        assert name in listing


def test_only_maps_knows_which_persistent_map_we_use() -> None:
    for library, only in (("immutables", "maps.py"), ("rpds", "tries.py")):
        assert [file.name for file in SOURCES if library in file.read_text()] == [only]
