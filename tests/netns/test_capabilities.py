"""The coordinator with NET_ADMIN and no other capability, as its container has it."""

import signal

from tests.netns import steps
from tests.netns.lab import Lab, wait_for
from tests.netns.steps import NETWORK

_ONLY = ("setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin")
_PORTS = "net.ipv4.ip_unprivileged_port_start"
NET_ADMIN = 1 << 12


def test_net_admin_is_enough_where_low_ports_are_everybodys(empty_lab: Lab) -> None:
    """Container engines let a container have all of its own ports; elsewhere the error says what is missing."""
    coordinator, mari = empty_lab.host("coordinator"), empty_lab.host("mari")
    coordinator.run("sysctl", "-q", "-w", f"{_PORTS}=1024")
    steps.found(coordinator, "10.42.0.0/16")
    without_names = coordinator.start(*_ONLY, "innerd", "serve", NETWORK, log="/run/.lab/innerd.log")
    wait_for(lambda: "CAP_NET_BIND_SERVICE" in steps.said(coordinator, "innerd.log"), "what is missing to be said")
    wait_for(lambda: f'serves "{NETWORK}"' in steps.said(coordinator, "innerd.log"), "innerd to serve all the same")
    steps.kill(coordinator, f"innerd serve {NETWORK}", signal.SIGTERM)
    without_names.wait()
    coordinator.path("/run/.lab/innerd.log").write_text("")
    coordinator.run("sysctl", "-q", "-w", f"{_PORTS}=0")
    coordinator.start(*_ONLY, "innerd", "serve", NETWORK, log="/run/.lab/innerd.log")
    wait_for(lambda: f'serves "{NETWORK}"' in steps.said(coordinator, "innerd.log"), "innerd to serve")
    (pid,) = coordinator.pids(f"innerd serve {NETWORK}")
    capabilities = coordinator.run("sh", "-c", f"sed -n 's/^CapEff:.//p' /proc/{pid}/status")
    assert int(capabilities, 16) == NET_ADMIN
    steps.join(mari, steps.invite(coordinator, "innerd", "mari", NETWORK))
    steps.reaches(mari, "10.42.0.1")
    assert coordinator.run("dig", "+short", "@10.42.0.1", f"mari.{NETWORK}.wg").strip() == steps.status(mari)["ip"]
