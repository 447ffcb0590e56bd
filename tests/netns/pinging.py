"""A ping that goes on while something happens, and what a device is at a moment, as the system's own tools tell it."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.steps import NETWORK

EVERY = 0.1  # seconds


class Pinging:
    """Ten pings a second from a host to an address; which of them were answered."""

    def __init__(self, host: Host, target: str) -> None:
        self.host, self.target = host, target
        self._log = f"ping-{target}-{time.monotonic_ns()}"
        self._process = host.start("ping", "-n", "-O", "-i", str(EVERY), target, log=f"/run/.lab/{self._log}")

    def answered(self) -> list[int]:
        return [int(n) for n in re.findall(r"bytes from .*icmp_seq=(\d+)", steps.said(self.host, self._log))]

    def sent(self) -> int:
        """The last one that is known to be sent."""
        numbers = re.findall(r"icmp_seq=(\d+)", steps.said(self.host, self._log))
        return int(numbers[-1]) if numbers else 0

    def goes_on(self, seconds: float = 20) -> float:
        """Wait until one that was sent from now on is answered; the seconds that it took."""
        began, last = time.monotonic(), self.sent() + 1  # one may be under way
        wait_for(lambda: (found := self.answered()) and found[-1] > last, f"{self.target} to answer", seconds)
        return time.monotonic() - began

    def lost(self) -> list[int]:
        """Those between the first and the last answer that were not answered."""
        found = self.answered()
        return sorted(set(range(found[0], found[-1] + 1)) - set(found))

    def end(self) -> None:
        self._process.terminate()
        steps.kill(self.host, f"ping -n -O -i {EVERY} {self.target}")
        self._process.wait()


@contextlib.contextmanager
def pinging(host: Host, target: str) -> Iterator[Pinging]:
    made = Pinging(host, target)
    try:
        made.goes_on()
        yield made
    finally:
        made.end()


def device(host: Host, interface: str = NETWORK) -> dict[str, Any] | None:
    """All of a device that is ours to say: by ip(8) and wg(8). None where there is none."""
    link = host.ask("ip", "-j", "-d", "link", "show", interface)
    if link.returncode:
        return None
    dump = host.ask("wg", "show", interface, "dump")
    if dump.returncode:
        return None
    (shown,) = json.loads(link.stdout)
    own, *peers = (line.split("\t") for line in dump.stdout.splitlines())
    found = json.loads(host.run("ip", "-j", "addr", "show", interface))[0]["addr_info"]
    routes = json.loads(host.run("ip", "-j", "route", "show", "dev", interface))
    return {
        "key": own[0],
        "port": own[2],
        "peers": {peer[0]: (peer[3], peer[7]) for peer in peers},  # allowed IPs, keepalive
        "mtu": shown["mtu"],
        "up": "UP" in shown["flags"],
        "owner": shown.get("ifalias"),
        "addresses": sorted(f"{one['local']}/{one['prefixlen']}" for one in found if one["scope"] != "link"),
        "routes": sorted(route["dst"] for route in routes),
    }


def awaited_anew(host: Host, number: int, interface: str = NETWORK) -> None:
    """Wait until a device is another one than that of a number."""
    wait_for(lambda: device(host, interface) and index(host, interface) != number, f"{host.name}'s new device")


def index(host: Host, interface: str = NETWORK) -> int:
    return int(json.loads(host.run("ip", "-j", "link", "show", interface))[0]["ifindex"])
