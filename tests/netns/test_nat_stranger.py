"""A packet that came too early, to a router that lets strangers in: what is in the way between two machines then."""

import sys

import pytest

from tests.netns.nat import internet
from tests.netns.sites import Sites

# One packet from WireGuard's own port, past WireGuard: the port, and where to.
_SEND = """
import socket, struct, sys
source, host, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.sendto(struct.pack(">HHHH", source, port, 12, 0) + bytes(4), (host, 0))
"""


@pytest.mark.slow
def test_a_packet_that_came_too_early_is_forgotten_and_then_both_meet() -> None:
    """Everything that either sends would keep it where it is: attempts are far enough apart, and WireGuard silent."""
    with internet() as net:
        sites = Sites(net)
        sites.join(["easy-a", "open-b"])
        port = sites.seen_by_the_coordinator("easy-a").rpartition(":")[2]
        to, at = sites.seen_by_the_coordinator("open-b").rsplit(":", 1)
        sites.hosts["easy-a"].run(sys.executable, "-c", _SEND, port, to, at)
        assert sites.meet("easy-a", "open-b", seconds=240) > 6, "it was in the way"
        sites.reaches("easy-a", "open-b")
