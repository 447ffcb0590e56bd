"""The same sources make the same bytes: whoever builds, in whatever folder, under whatever umask, in whatever zone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.built import ROOT, deb, run, wheel

_SOURCES = (
    *("innerd", "dns", "client", "migrations", "deploy", "docs"),
    *("pyproject.toml", "requirements.txt", "README.md", "CHANGELOG.md", "LICENSE"),
)


def elsewhere(folder: Path, *command: str | Path) -> Path:
    """What a build makes of a copy of the sources, by somebody with other habits; its folder of results."""
    before = os.umask(0o027)
    try:
        sources, out = folder / "another folder", folder / "out"
        for name in _SOURCES:
            copy: Callable[..., object] = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            sources.mkdir(exist_ok=True)
            copy(ROOT / name, sources / name)
        out.mkdir()
        env = {**os.environ, "TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7", "PYTHONPATH": str(sources)}
        done = subprocess.run(
            [*command, out], cwd=sources, env=env, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        os.umask(before)
    return out


def test_a_wheel_is_the_same_to_the_byte(tmp_path: Path) -> None:
    other = elsewhere(tmp_path, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d")
    assert (other / wheel().name).read_bytes() == wheel().read_bytes()


needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
_DEB: tuple[str, ...] = (sys.executable, "deploy/debian/build.py")
_QUICK = ("--compression", "none")  # most of what a package costs is xz


@needs_dpkg
def test_a_debian_package_is_put_together_the_same(tmp_path: Path) -> None:
    """The packages that come along are fetched once, and taken as they are: see below."""
    ours = tmp_path / "ours"
    made = Path(run(*_DEB, *_QUICK, "--out", ours).splitlines()[-1])
    kept = sorted((ROOT / "build/deb").glob("site-*[0-9a-f]"), key=lambda path: path.stat().st_mtime)[-1]
    there = tmp_path / "another folder/build/deb"
    shutil.copytree(kept, there / kept.name)
    shutil.copytree(ROOT / "build/deb/pip", there / "pip", symlinks=True)
    other = elsewhere(tmp_path, *_DEB, *_QUICK, "--out")
    assert (other / made.name).read_bytes() == made.read_bytes()


@needs_dpkg
@pytest.mark.slow
def test_a_debian_package_is_the_same_to_the_byte_with_all_that_comes_along(tmp_path: Path) -> None:
    other = elsewhere(tmp_path, *_DEB, "--out")
    assert (other / deb().name).read_bytes() == deb().read_bytes()


def test_the_bill_of_materials_is_the_same_to_the_byte_and_has_all_that_is_locked(tmp_path: Path) -> None:
    other = elsewhere(tmp_path, sys.executable, "-c", _BILL) / "bill.json"
    run(sys.executable, "deploy/sbom.py", tmp_path / "bill.json")
    assert other.read_bytes() == (tmp_path / "bill.json").read_bytes()
    bill = json.loads(other.read_bytes())
    lock = (ROOT / "requirements.txt").read_text()
    pins = [line.split()[0] for line in lock.splitlines() if "==" in line and not line.startswith(("#", " "))]
    assert [f"{part['name']}=={part['version']}" for part in bill["components"]] == pins
    digests = [digest["content"] for part in bill["components"] for digest in part["hashes"]]
    assert len(digests) == lock.count("--hash=sha256:")
    assert len(bill["dependencies"][0]["dependsOn"]) == 16


_BILL = "import runpy, sys; sys.argv[1] += '/bill.json'; runpy.run_path('deploy/sbom.py', run_name='__main__')"
