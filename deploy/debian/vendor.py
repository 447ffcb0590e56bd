"""The Python packages that the Debian package brings: those of requirements.txt, by hash, for every Python it runs on.

Compiled modules carry the Python's tag in their names, so those of several Pythons lie side by side in one folder, and
one package serves Debian 12 (3.11), Ubuntu 24.04 (3.12), Debian 13 (3.13) and Ubuntu 26.04 (3.14). Which Python builds
makes no difference. The control file says the same range (`RANGE`).
"""

import filecmp
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from packaging.markers import Marker

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build/deb"
PINS = ROOT / "requirements.txt"
PYTHON = "/usr/bin/python3"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RANGE = f"python3 (>= {PYTHONS[0]}), python3 (<< 3.{int(PYTHONS[-1].partition('.')[2]) + 1})"
GLIBC = 36  # 2.36, of Debian 12: wheels for that and for older ones are taken, wherever they are packed
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
JUNK = ("bin", "**/__pycache__", "**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.c", "**/*.h")


def vendored(architecture: str, own: str) -> Path:
    """The packages for all Pythons, kept between builds as long as the pins and this file say the same. `own` is the
    architecture of this machine."""
    said = PINS.read_bytes() + Path(__file__).read_bytes()
    kept = BUILD / f"site-{architecture}-{hashlib.sha256(said).hexdigest()[:16]}"
    if not kept.exists():
        strip = stripper(architecture, own)
        fresh = kept.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        for python in PYTHONS:
            merge(fetched(python, architecture), fresh)
        for library in fresh.rglob("*.so*"):
            subprocess.run([strip, "--strip-unneeded", library], check=True)
        fresh.rename(kept)
    return kept


def stripper(architecture: str, own: str) -> str:
    """binutils' strip for an architecture, as Debian calls it."""
    program = "strip" if architecture == own else f"{MACHINES[architecture]}-linux-gnu-strip"
    if shutil.which(program) is None:
        package = f"binutils-{MACHINES[architecture].replace('_', '-')}-linux-gnu"
        raise SystemExit(f"{program} is not installed: apt install {package}")
    return program


def fetched(python: str, architecture: str) -> Path:
    """The packages for one Python."""
    folder, pins = BUILD / f"site-{python}.new", BUILD / f"requirements-{python}.txt"
    shutil.rmtree(folder, ignore_errors=True)
    pip_ = pip()  # makes the folder too
    pins.write_text(pins_for(python), encoding="utf-8")
    flags = ["--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile", "--target", folder]
    target = ["--implementation", "cp", "--python-version", python, *platforms(MACHINES[architecture])]
    subprocess.run([pip_, "install", *flags, *target, "-r", pins], check=True)
    prune(folder)
    return folder


def platforms(machine: str) -> list[str]:
    named = [f"manylinux_2_{minor}" for minor in range(GLIBC, 4, -1)] + ["manylinux2014", "manylinux2010", "manylinux1"]
    return [word for name in named for word in ("--platform", f"{name}_{machine}")]


def pins_for(python: str) -> str:
    """Those of the pins that are meant for a Python: pip asks the one that it runs on."""
    chosen = []
    for pin in re.split(r"\n(?=[a-z])", PINS.read_text(encoding="utf-8"))[1:]:
        marker = re.search(r" ; (.*?) \\$", pin.partition("\n")[0])
        if marker is None or Marker(marker[1]).evaluate(
            {"python_version": python, "python_full_version": f"{python}.0"}
        ):
            chosen.append(re.sub(r" ; .*? \\$", r" \\", pin, count=1, flags=re.M))
    return "\n".join(chosen)


def merge(folder: Path, into: Path) -> None:
    """Move a tree into another, the oldest Python's first. What both have must be the same, but for the line that says
    which wheel it was, and for modules of the stable ABI: those of the oldest do for all."""
    for path in sorted(folder.rglob("*")):
        there = into / path.relative_to(folder)
        if path.is_dir():
            continue
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            path.rename(there)
        elif (
            path.name != "WHEEL"
            and path.suffixes[-2:] != [".abi3", ".so"]
            and not filecmp.cmp(path, there, shallow=False)
        ):
            raise SystemExit(f"{path.relative_to(folder)} is not the same for every Python")
    shutil.rmtree(folder)


def pip() -> Path:
    """pip under Debian's own interpreter."""
    environment = BUILD / "pip"
    if not (environment / "bin/pip").exists():
        subprocess.run([PYTHON, "-m", "venv", environment], check=True, env={**os.environ, "PYTHONPATH": ""})
    return environment / "bin/pip"


def prune(site: Path) -> None:
    for pattern in JUNK:
        for path in list(site.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for record in [*site.glob("*.dist-info/RECORD"), *site.glob("*.dist-info/direct_url.json")]:
        record.unlink()  # it names what was pruned; and the build's own folder
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
