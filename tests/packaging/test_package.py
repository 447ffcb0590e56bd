"""The Debian package: what is in it, what lintian says, and that a clean Debian has all that it needs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from innerd.wireguard import daemon
from tests.packaging.built import CLEAN, deb, run

pytestmark = pytest.mark.slow


def test_lintian_finds_no_error_and_no_warning() -> None:
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    said = run("lintian", "--allow-root", "--fail-on", "error", deb())
    assert not re.findall(r"^[EW]: .*", said, re.M)


def test_all_that_an_administrator_looks_for_is_in_its_place() -> None:
    listed = run("dpkg-deb", "--contents", deb())
    for path in (
        "/usr/bin/inn",
        "/usr/bin/innerd",
        "/lib/systemd/system/inn@.service",
        "/lib/systemd/system/innerd@.service",
        "/usr/share/man/man8/inn.8.gz",
        "/usr/share/man/man8/innerd-serve.8.gz",
        "/usr/share/man/man8/inn-add-peer.8.gz",
        "/usr/share/bash-completion/completions/innerd",
        "/usr/share/zsh/vendor-completions/_inn",
        "/usr/share/fish/vendor_completions.d/inn.fish",
        "/usr/share/doc/innerd/copyright",
        "/usr/share/doc/innerd/commands.md",
        "/usr/share/doc/innerd/examples/prometheus/rules.yml",
        "/usr/share/doc/innerd/examples/prometheus/prometheus.yml",
        "/usr/share/doc/innerd/examples/grafana/dashboards/overview.json",
        "/usr/share/doc/innerd/examples/grafana/provisioning/datasources/innerd.yaml",
    ):
        assert re.search(rf"^-\S+ root/root .* \.{re.escape(path)}$", listed, re.M), path


@pytest.mark.parametrize(("architecture", "machine"), [("", 62), ("arm64", 183)], ids=["this machine's", "arm64"])
def test_it_brings_the_newest_wireguard_go(architecture: str, machine: int, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("there is no Go here")
    run("dpkg-deb", "--extract", deb(architecture=architecture), tmp_path)
    program = tmp_path / daemon.OURS.relative_to("/")
    elf = program.read_bytes()[:20]
    assert (elf[:4], int.from_bytes(elf[18:20], "little")) == (b"\x7fELF", machine)  # e_machine
    if not architecture:
        assert daemon.release(program) == daemon.NEWEST
    assert "wireguard-go |" not in run("dpkg-deb", "--field", deb(architecture=architecture))


# The Python and the C library of each, as apt-cache policy has them there.
RELEASES = {
    "Debian 12": ("3.11.2-1+b1", "2.36-9+deb12u13"),
    "Debian 13": ("3.13.5-1", "2.41-12"),
    "Ubuntu 24.04": ("3.12.3-0ubuntu2", "2.39-0ubuntu8"),
    "Ubuntu 26.04": ("3.14.3-0ubuntu2", "2.43-2ubuntu1"),
}
TOO_OLD_OR_NEW = {"Ubuntu 22.04": ("3.10.6-1~22.04", "2.35-0ubuntu3"), "of a Python to come": ("3.15.0-1", "2.45-1")}


def is_met(python: str, libc: str) -> bool:
    """Whether what the package asks of Python and the C library is met; all else that it needs is there everywhere."""
    have = {"python3": python, "libc6": libc}
    asked = re.findall(r"(python3|libc6) \((\S+) ([^)]+)\)", run("dpkg-deb", "--field", deb(), "Depends"))
    compare = ["dpkg", "--compare-versions"]
    return all(
        subprocess.run([*compare, have[name], how, than], check=False).returncode == 0 for name, how, than in asked
    )


@pytest.mark.parametrize("release", RELEASES)
def test_its_dependencies_are_met_on(release: str) -> None:
    assert is_met(*RELEASES[release])


@pytest.mark.parametrize("release", TOO_OLD_OR_NEW)
def test_its_dependencies_are_not_met_on(release: str) -> None:
    assert not is_met(*TOO_OLD_OR_NEW[release])


def test_every_python_that_it_may_meet_has_its_compiled_modules() -> None:
    """Whichever Python it was built with. Of immutables 3.14 has none: there rpds stands in."""
    modules = re.findall(r"site-packages/(\S+)\.cpython-3(\d+)-\S+\.so$", run("dpkg-deb", "--contents", deb()), re.M)
    pythons: dict[str, set[int]] = {}
    for module, minor in modules:
        pythons.setdefault(module, set()).add(int(minor))
    own = {name: found for name, found in pythons.items() if not name.startswith(("immutables", "rpds"))}
    assert own
    assert all(found == {11, 12, 13, 14} for found in own.values()), own
    assert pythons["immutables/_map"] == {11, 12, 13}
    assert pythons["rpds/rpds"] == {14}


def unpacked(package: Path, into: Path) -> tuple[set[str], set[int]]:
    """The files of a package that are not compiled, and for which machines (ELF's numbers) the others are."""
    run("dpkg-deb", "--extract", package, into)
    files = [path for path in into.rglob("*") if path.is_file()]
    compiled = [path for path in files if path.read_bytes()[:4] == b"\x7fELF"]
    machines = {int.from_bytes(path.read_bytes()[18:20], "little") for path in compiled}
    return {str(path.relative_to(into)) for path in files if path not in compiled}, machines


@pytest.mark.skipif(not shutil.which("aarch64-linux-gnu-strip"), reason="binutils-aarch64-linux-gnu is not installed")
def test_the_package_for_arm64_has_the_same_files_and_other_compiled_modules(tmp_path: Path) -> None:
    other = deb(architecture="arm64")
    assert run("dpkg-deb", "--field", other, "Architecture").strip() == "arm64"
    ours, theirs = unpacked(deb(), tmp_path / "ours"), unpacked(other, tmp_path / "theirs")
    assert theirs[1] == {183}  # EM_AARCH64
    assert ours[0] == theirs[0]


def test_the_same_sources_make_the_same_package() -> None:
    assert deb("0.1.0-1").read_bytes() == deb().read_bytes()


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_a_clean_debian_installs_it_and_both_commands_work(release: str) -> None:
    """Its dependencies come from Debian alone; afterwards nothing is left of it but what was asked to be kept."""
    path = deb()
    shutil.copy(path, "/tmp/innerd-clean.deb")
    said = run(
        "env",
        f"RELEASE={release}",
        CLEAN,
        "bash",
        "-ec",
        """
apt-get install -y -qq --no-install-recommends /tmp/innerd-clean.deb > /tmp/innerd-clean.log 2>&1
inn --version; innerd --version
find / -xdev -name pip -not -path '/proc/*' | head -1
innerd new --network-name kermpany --network-cidr 10.42.0.0/16 --external-endpoint 192.0.2.1:51820 --listen-port 51820
innerd list-peers kermpany
innerd list-peers kermpany --json > /dev/null
INNERD_PURGE_KEYS=yes apt-get purge -y -qq innerd > /tmp/innerd-clean.log 2>&1
echo left: $(find / -xdev \\( -name '*innerd*' -o -name 'kermpany*' \\) -not -path '/proc/*' -not -path '/tmp/*' \\
  -not -path '/sys/*' -not -path '/dev/*')
""",
    )
    assert "inn 0.1.0\ninnerd 0.1.0\n" in said
    assert "10.42.0.1" in said
    assert said.splitlines()[-1].strip() == "left:", said
