"""Builds the Debian package: `make deb`, or `python deploy/debian/build.py [--out FOLDER] [--version VERSION]
[--architecture NAME] [--compression KIND]`.

A staged tree and dpkg-deb, nothing else. The Python packages that come along are `vendor`'s part.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from email.utils import formatdate, parsedate_to_datetime
from importlib.metadata import distributions
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from daemon import daemon, licences
from vendor import BUILD, HERE, MACHINES, PYTHON, RANGE, ROOT, pip, prune, vendored

PROGRAMS = {"innerd": "innerd.start", "inn": "innclient.start"}
SCRIPTS = ("postinst", "prerm", "postrm")
DAEMON = Path("usr/lib/innerd/wireguard-go")
EXAMPLES = ("verify-log.py", "litestream", "prometheus", "grafana/dashboards", "grafana/provisioning")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--version", help="another version than the changelog's, such as 0.1.0-2")
    parser.add_argument("--compression", default="xz", help="of dpkg-deb; none is quick, for comparing")
    parser.add_argument(
        "--architecture", choices=list(MACHINES), help="of the machines that it is for; else this one's"
    )
    given = parser.parse_args()
    target, own = given.architecture or architecture(), architecture()
    version, moment = changelog_head()
    version = given.version or version
    os.environ["SOURCE_DATE_EPOCH"] = str(moment)
    stage = BUILD / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    site = stage / "usr/lib/innerd/site-packages"
    place_packages(site, target)
    runnable = site if target == own else BUILD / "runnable"  # pages and completions are made by the commands
    if runnable != site:
        shutil.rmtree(runnable, ignore_errors=True)
        place_packages(runnable, own)
    place_programs(stage)
    has_daemon = place_daemon(stage, target)
    place_units(stage)
    place_pages(stage, runnable, version, moment)
    place_completions(stage, runnable)
    place_documents(stage, site, version, moment, has_daemon=has_daemon)
    place_control(stage, version, target, has_daemon=has_daemon)
    settle(stage, moment)
    sys.stdout.write(f"{packed(stage, given.out, version, target, given.compression)}\n")


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def changelog_head() -> tuple[str, int]:
    """The newest version of deploy/debian/changelog, and its moment."""
    text = (HERE / "changelog").read_text(encoding="utf-8")
    version = re.match(r"innerd \(([^)]+)\)", text)
    moment = re.search(r"^ -- .*>  (.*)$", text, re.M)
    if version is None or moment is None:
        raise SystemExit("deploy/debian/changelog: no version or no date at its head")
    ours = re.search(r'^__version__ = "(.*)"', (ROOT / "innerd/__init__.py").read_text(encoding="utf-8"), re.M)
    if ours is None or version[1].rpartition("-")[0] != ours[1]:
        raise SystemExit(f"deploy/debian/changelog says {version[1]}, innerd/__init__.py another release")
    return version[1], int(parsedate_to_datetime(moment[1]).timestamp())


# -- what goes in -----------------------------------------------------------------------------------------------------


def place_packages(site: Path, target: str) -> None:
    """The pinned packages, for an architecture, and our own wheel."""
    shutil.copytree(vendored(target, own=architecture()), site)
    wheels = BUILD / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels)
    run(pip(), "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", site, *wheels.glob("*.whl"))
    prune(site)


def place_programs(stage: Path) -> None:
    template = (HERE / "launcher.in").read_text(encoding="utf-8")
    for program, module in PROGRAMS.items():
        write(stage / "usr/bin" / program, template.replace("@PROGRAM@", program).replace("@MODULE@", module), 0o755)


def place_daemon(stage: Path, target: str) -> bool:
    """wireguard-go, where it could be built."""
    built = daemon(target)
    if built is not None:
        shutil.copy(built, make(stage / DAEMON.parent) / DAEMON.name)
        texts = [f"{name}\n\n{text}" for name, text in licences(target).items()]
        write(stage / "usr/share/doc/innerd/wireguard-go.licences", "\n\n".join(texts))
    return built is not None


def place_units(stage: Path) -> None:
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        write(stage / "lib/systemd/system" / unit.name, unit.read_text(encoding="utf-8"))


def staged_python(site: Path, *arguments: str | Path) -> str:
    """Debian's interpreter with what is packed, as it will be."""
    return run(PYTHON, "-s", *arguments, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site), "LANG": "C.UTF-8"})


def place_pages(stage: Path, site: Path, version: str, moment: int) -> None:
    """Man pages, generated from the commands that are packed."""
    date = time.strftime("%Y-%m-%d", time.gmtime(moment))
    made = BUILD / "man"
    shutil.rmtree(made, ignore_errors=True)
    staged_python(site, "-B", ROOT / "deploy/man/generate.py", made, "--release", version, "--date", date)
    for page in made.iterdir():
        packed_text(stage / f"usr/share/man/man{page.suffix[1:]}/{page.name}.gz", page.read_bytes())


def place_completions(stage: Path, site: Path) -> None:
    places = {
        "bash": "usr/share/bash-completion/completions/{}",
        "zsh": "usr/share/zsh/vendor-completions/_{}",
        "fish": "usr/share/fish/vendor_completions.d/{}.fish",
    }
    for program, module in PROGRAMS.items():
        for shell, place in places.items():
            code = f"import sys; from {module} import main; sys.argv = ['{program}', 'completions', '{shell}']; main()"
            write(stage / place.format(program), staged_python(site, "-B", "-c", code).lstrip("\n"))


def place_documents(stage: Path, site: Path, version: str, moment: int, *, has_daemon: bool) -> None:
    documents = stage / "usr/share/doc/innerd"
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "docs/openapi.json", ROOT / "README.md"]:
        write(documents / page.name, page.read_text(encoding="utf-8"))
    packed_text(documents / "changelog.gz", (ROOT / "CHANGELOG.md").read_bytes())
    packed_text(documents / "changelog.Debian.gz", changelog(version, moment).encode())
    for example in EXAMPLES:
        source, there = ROOT / "deploy" / example, documents / "examples" / example
        make(there.parent)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, there)
    write(documents / "copyright", copyright_of(site))
    overrides = (HERE / "lintian-overrides").read_text(encoding="utf-8")
    if not has_daemon:
        overrides = "".join(line for line in overrides.splitlines(keepends=True) if DAEMON.name not in line)
    write(stage / "usr/share/lintian/overrides/innerd", overrides)


def changelog(version: str, moment: int) -> str:
    """The committed one; under another version an entry on top says what it is."""
    text = (HERE / "changelog").read_text(encoding="utf-8")
    if f"({version})" in text.partition("\n")[0]:
        return text
    author = re.search(r"^ -- (.*>)", text, re.M)
    signed = f" -- {author[1] if author else ''}  {formatdate(moment)}"
    return f"innerd ({version}) unstable; urgency=medium\n\n  * Built as {version}.\n\n{signed}\n\n{text}"


def copyright_of(site: Path) -> str:
    """Our licence, and the names of those of the packages that come along."""
    ours = "".join(f" {line or '.'}\n" for line in (ROOT / "LICENSE").read_text().split("\n\n", 2)[2].splitlines())
    kept = sorted(distributions(path=[str(site)]), key=lambda found: str(found.name).lower())
    names = "".join(
        f"  {found.name} {found.version}: {licence_of(found)}\n" for found in kept if found.name != "innerd"
    )
    return (HERE / "copyright").read_text(encoding="utf-8").replace("@VENDORED@\n", names).replace("@LICENSE@\n", ours)


def licence_of(found: object) -> str:
    metadata = found.metadata  # type: ignore[attr-defined]
    named = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if line.startswith("License")]
    written = (metadata.get("License") or "").strip().partition("\n")[0]
    return str(metadata.get("License-Expression") or ", ".join(named) or written or "see there")


# -- how it is packed -------------------------------------------------------------------------------------------------


def make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(path: Path, text: str, mode: int = 0o644) -> None:
    make(path.parent)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def packed_text(path: Path, data: bytes) -> None:
    make(path.parent)
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def settle(stage: Path, moment: int) -> None:
    """The same modes and times whoever builds, under whatever umask, and whenever."""
    scripts = {stage / "DEBIAN" / name for name in SCRIPTS}
    for path in [stage, *stage.rglob("*")]:
        if path.is_symlink():
            continue
        is_program = path.is_dir() or path.parent == stage / "usr/bin" or path in {*scripts, stage / DAEMON}
        path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (moment, moment))


def place_control(stage: Path, version: str, target: str, *, has_daemon: bool) -> None:
    control = make(stage / "DEBIAN")
    files = [path for path in stage.rglob("*") if path.is_file() and control not in path.parents]
    sums = sorted(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(stage)}" for path in files)  # noqa: S324 - dpkg's format
    size = str(sum(-(-path.stat().st_size // 1024) for path in files))
    text = (HERE / "control.in").read_text(encoding="utf-8")
    if has_daemon:  # then nothing is missing where the kernel has no WireGuard
        text = text.replace("wireguard-go | wireguard-modules, ", "")
    for key, value in {"VERSION": version, "ARCHITECTURE": target, "SIZE": size, "PYTHON": RANGE}.items():
        text = text.replace(f"@{key}@", value)
    write(control / "control", text)
    write(control / "md5sums", "\n".join(sums) + "\n")
    for script in SCRIPTS:
        write(control / script, (HERE / script).read_text(encoding="utf-8"))


def packed(stage: Path, out: Path, version: str, target: str, compression: str) -> Path:
    made = make(out) / f"innerd_{version}_{target}.deb"
    # One thread: with more, where xz cuts its blocks is a matter of the machine.
    run("dpkg-deb", "--root-owner-group", f"-Z{compression}", "--threads-max=1", "--build", stage, made)
    return made


def architecture() -> str:
    """This machine's."""
    return run("dpkg", "--print-architecture").strip()


if __name__ == "__main__":
    main()
