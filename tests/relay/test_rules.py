"""The kernel's table, in a namespace of its own: what nft makes of the rules, and elements by netlink."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_SETUP = """
import json, subprocess, sys
sys.path.insert(0, {root!r})
for command in ("link add eth0 type veth peer name eth1", "link set eth1 up", "addr add 10.0.0.1/8 dev eth0",
                "addr add 2001:db8::1/64 dev eth0 nodad", "link set eth0 up", "link set lo up"):
    subprocess.run(["ip", *command.split()], check=True)
from innerd.relay.kernel import KernelEdge, is_left, sweep
from innerd.relay.limits import Limits
from innerd.relay.table import Drop, Element, Place, Placed, Put
edge = KernelEdge("lab", "wg", 51820, Limits(1_000_000, 5_000_000))
result = {{}}
"""


def inside(body: str) -> Any:
    """What a body, run with an edge in a namespace of its own, leaves in `result`."""
    script = _SETUP.format(root=str(ROOT)) + body + "\nprint(json.dumps(result))"
    done = subprocess.run(["unshare", "-n", sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_is_put_is_adopted_by_the_next_and_is_gone_with_the_table() -> None:
    found = inside("""
result["new"] = edge.install()
edge.apply([Placed(2, Place("10.0.0.2:5000")), Placed(3, Place("[2001:db8::2]:5001", "2001:db8::1"))])
edge.apply([Put(Element("10.0.0.2:5000", b"abcd"), 2, 3), Put(Element("[2001:db8::2]:5001", b"efgh"), 3, 2)])
result["again"] = edge.install()
other = KernelEdge("lab", "wg", 51820, Limits())
other.install()
result["left"] = {element.source: to for element, to in other.adopt().items()}
result["owns"], result["placed"] = other.owns(), sorted(other.placed)
other.apply([Drop(Element("10.0.0.2:5000", b"abcd")), Placed(3, None)])
result["less"] = len(other.counters())
result["total"] = [other.total().packets, other.total().held]
result["there"] = is_left("innerd-lab")
other.abandon()
result["gone"] = is_left("innerd-lab")
""")
    assert found == {
        "new": True,
        "again": False,
        "left": {"10.0.0.2:5000": 3, "[2001:db8::2]:5001": 2},
        "owns": {"2": "10.0.0.1", "3": "2001:db8::1"},
        "placed": [2, 3],
        "less": 1,
        "total": [0, 0],
        "there": True,
        "gone": False,
    }


def test_thousands_at_once_and_what_is_gone_already_or_there_already() -> None:
    found = inside("""
edge.install()
many = [Element("10.0.0.2:5000", number.to_bytes(4, "big")) for number in range(5000)]
edge.apply([Put(element, 2, 3) for element in many])
result["put"] = len(edge.counters())
edge.apply([Put(element, 2, 3) for element in many[:300]])
edge.apply([Put(many[0], 2, 9)])
result["replaced"] = edge.adopt()[many[0]]
edge.apply([Drop(element) for element in many[10:20]])
edge.apply([Drop(element) for element in many])
result["left"] = len(edge.counters())
""")
    assert found == {"put": 5000, "replaced": 9, "left": 0}


def test_what_is_said_later_of_the_same_element_counts() -> None:
    found = inside("""
edge.install()
one, other = Element("10.0.0.2:5000", b"abcd"), Element("10.0.0.3:5000", b"abcd")
edge.apply([Put(one, 2, 3), Drop(one), Put(other, 2, 3)])
result["moved"] = [element.source for element in edge.counters()]
edge.apply([Drop(other), Put(other, 2, 9)])
result["again"] = list(edge.adopt().values())
edge.apply([Placed(2, Place("10.0.0.2:1")), Placed(2, None)])
result["placed"] = [len(edge.placed), len(edge.owns())]
edge.apply([Placed(2, None), Placed(2, Place("10.0.0.2:1"))])
result["back"] = edge.owns()
""")
    assert found == {"moved": ["10.0.0.3:5000"], "again": [9], "placed": [0, 0], "back": {"2": "10.0.0.1"}}


def test_peers_over_no_link_that_it_listens_on_are_left_out() -> None:
    found = inside("""
edge.install()
edge.apply([Placed(2, Place("127.0.0.1:5000")), Placed(3, Place("192.0.2.1:5000")), Placed(4, Place("10.9.9.9:1"))])
result["placed"] = sorted(edge.placed)
""")
    assert found == {"placed": [4]}


def test_a_table_that_is_away_is_told_from_a_refusal() -> None:
    found = inside("""
edge.install()
sweep("innerd-lab")
try:
    edge.apply([Put(Element("10.0.0.2:5000", b"abcd"), 2, 3)])
except OSError as error:
    result["errno"] = error.errno
result["whole"] = edge.is_whole()
result["new"] = edge.install()
""")
    assert found == {"errno": errno.ENOENT, "whole": False, "new": True}


def test_a_program_of_rules_is_what_nft_says_back() -> None:
    listed = inside("""
edge.install()
result = subprocess.run(["nft", "list", "table", "netdev", "innerd-lab"], capture_output=True, text=True).stdout
""")
    for part in (
        'hook ingress device "eth0"',
        "udp dport 51820 fib daddr type local @th,64,32 { 0x3000000, 0x4000000 } jump relay4",
        "limit rate over 1000000 bytes/second burst 200000 bytes",
        "limit rate over 5000000 bytes/second burst 1000000 bytes",
        "fwd ip6 to meta mark map @hop6 device meta mark map @link6",
    ):
        assert part in listed, listed
