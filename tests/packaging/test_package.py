"""The Debian package: what is in it, what lintian says, and that a clean Debian has all that it needs."""

import re
import shutil

import pytest

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
        "/usr/share/bash-completion/completions/innerd",
        "/usr/share/zsh/vendor-completions/_inn",
        "/usr/share/fish/vendor_completions.d/inn.fish",
        "/usr/share/doc/innerd/copyright",
        "/usr/share/doc/innerd/commands.md",
    ):
        assert re.search(rf"^-\S+ root/root .* \.{re.escape(path)}$", listed, re.M), path


def test_the_same_sources_make_the_same_package() -> None:
    assert deb("0.1.0-1").read_bytes() == deb().read_bytes()


def test_a_clean_debian_installs_it_and_both_commands_work() -> None:
    """Its dependencies come from Debian alone; afterwards nothing is left of it but what was asked to be kept."""
    path = deb()
    shutil.copy(path, "/tmp/innerd-clean.deb")
    said = run(
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
