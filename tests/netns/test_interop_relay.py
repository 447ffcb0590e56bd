"""innernet's own client, 2.0.0, on two machines behind hard NATs: they have no way to each other but by the relay, of
which it knows nothing but one more candidate."""

import pytest

from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.nat import internet
from tests.netns.sites import Sites
from tests.netns.steps import NETWORK
from tests.netns.test_interop import CLIENT, join

pytestmark = pytest.mark.interop

ONE, OTHER = "hard-a", "hard-b"


def stay_up(host: Host) -> None:
    host.start(
        *(str(CLIENT), "--backend", "userspace", "up", "-d", "--interval", "5", "--no-write-hosts", NETWORK),
        log="/run/.lab/innernet.log",
    )


def test_two_of_innernets_clients_reach_each_other_through_hard_nats() -> None:
    with internet() as net:
        sites = Sites(net)
        for number, name in enumerate((ONE, OTHER), 1):
            host = sites.place(name)
            sites.introduce(host)
            sites.innerd("add-cidr", "--name", name, "--cidr", f"10.42.{number}.0/24", "--parent", NETWORK)
            join(host, steps.invite(sites.coordinator, "innerd", name, name))
        sites.associate(ONE, OTHER)
        for name in (ONE, OTHER):
            stay_up(net.hosts[name])
        steps.reaches(net.hosts[ONE], "10.42.2.1", 120)
        relay = steps.asked(sites.coordinator, "innerd", "status", NETWORK)["relay"]
        assert (relay["mode"], relay["pairs"]) == ("kernel", 1)
        wait_for(lambda: steps.pings(net.hosts[OTHER], "10.42.1.1"), "the way back")
