"""A machine that was cloned with its key: both ends say so, and the two do not take the one place from each other for
ever."""

import json

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, wait_for
from tests.netns.steps import NETWORK


def connections(host: Host) -> int:
    return steps.said(host, "inn.log").count("] connected")


def test_a_clone_is_named_on_both_ends_and_storms_nothing(kermpany: Kermpany) -> None:
    mari = kermpany.join("mari", "humans")
    clone = kermpany.lab.host("clone")
    for folder in ("/etc/inn", "/var/lib/inn"):
        data = mari.run("sh", "-ec", f"tar -C {folder} -cf - . | base64 -w0")
        clone.run("sh", "-ec", f"mkdir -p -m 700 {folder}; echo {data} | base64 -d | tar -C {folder} -xf -")
    clone.begin("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")

    def is_named() -> bool:
        troubles = json.loads(kermpany.innerd("status", "--json"))["troubles"]
        return any(one["kind"] == "twins" and "mari is seen at" in one["text"] for one in troubles)

    wait_for(is_named, "the coordinator to name it", 300)
    wait_for(
        lambda: any("KEY SHARED" in h.run("inn", "status", NETWORK, status=None) for h in (mari, clone)), "it", 200
    )
    assert max(connections(host) for host in (mari, clone)) <= 3, "the first, and the one that showed it"
