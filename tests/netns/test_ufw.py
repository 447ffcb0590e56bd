"""ufw, as Debian and Ubuntu have it, on the coordinator's host: what our pages and doctor say opens what is needed, and
nothing else."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, wait_for
from tests.netns.steps import NETWORK

pytestmark = pytest.mark.skipif(shutil.which("ufw") is None, reason="ufw is not installed")

README = Path(__file__).parents[2] / "README.md"
API = "http://10.42.0.1:51820/v1/user/capabilities"


def reaches(host: Host, url: str) -> bool:
    return host.ask("curl", "-sS", "-m", "2", url).returncode == 0


def is_named(host: Host, *flags: str) -> bool:
    asked = ("dig", "+short", "+time=2", "+tries=1", *flags, "@10.42.0.1", f"innernet-server.{NETWORK}.wg")
    return host.ask(*asked).stdout.strip() == "10.42.0.1"


def test_the_commands_of_the_readme_let_peers_in_to_what_they_need_and_no_more(kermpany: Kermpany) -> None:
    host = kermpany.coordinator
    host.run("sh", "-ec", "echo y | ufw enable")
    commands = re.findall(r"^coordinator# (ufw .*)$", README.read_text(), re.M)
    assert len(commands) == 3
    for command in commands:
        host.run("sh", "-ec", command)
    ryo = kermpany.join("ryo", "humans")
    assert reaches(ryo, API)
    assert is_named(ryo)
    assert is_named(ryo, "+tcp")
    host.start("python3", "-m", "http.server", "8080", "--bind", "10.42.0.1")
    wait_for(lambda: reaches(host, "http://10.42.0.1:8080/"), "another server of the host")
    assert not reaches(ryo, "http://10.42.0.1:8080/")
    assert not reaches(ryo, f"http://{host.address}:51820/")


def test_what_doctor_says_of_ufw_opens_what_it_keeps_out(kermpany: Kermpany) -> None:
    host, ryo = kermpany.coordinator, kermpany.join("ryo", "humans")
    host.run("ip", "route", "add", "default", "via", "10.99.0.250")
    host.run("sh", "-ec", "echo y | ufw enable")
    assert not reaches(ryo, API)
    steps.kill(ryo, "inn up")
    found = json.loads(host.ask("innerd", "doctor", NETWORK, "--json").stdout)["checks"]
    tunnel, *inside = (check["fix"].partition(": ")[2] for check in found if check["check"] == "firewall")
    host.run("sh", "-ec", tunnel)
    refused = ryo.ask("inn", "up", NETWORK)
    assert (refused.returncode, f"ufw: {inside[0]})" in refused.stderr) == (5, True), refused
    for fix in inside:
        host.run("sh", "-ec", fix)
    assert reaches(ryo, API)
    assert is_named(ryo)
    assert is_named(ryo, "+tcp")
