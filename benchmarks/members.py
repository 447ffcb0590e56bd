"""A machine in a network of many peers, with its files in a folder and its device in memory, for `benchmarks.start`.

`python -m benchmarks.members FOLDER` is its agent, until it is told to end.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

from innclient.agent import store, views
from innclient.agent.asking import Request
from innclient.agent.control import ControlSocket
from innclient.core.netmap import KnownCidr, KnownPeer, Netmap
from innclient.core.pins import Pins
from innerd.domain.values import Endpoint, Name
from innerd.wireguard.plan import SetPeer
from tests.client.support import session_at
from tests.world import INTERFACE, key

PEERS = 5000
ME, ADDRESS = "ryo", "127.42.0.2"


def places(folder: Path) -> dict[str, str]:
    """Where `inn` finds the files, as its environment says it."""
    folders = {"CONFIG": "etc", "DATA": "lib", "RUNTIME": "run"}
    return {f"INN_{kind}_DIR": str(folder / name) for kind, name in folders.items()}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[None]:
    """With an agent, in a process of its own."""
    agent = subprocess.Popen([sys.executable, "-m", "benchmarks.members", folder], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()
        yield
    finally:
        agent.terminate()
        agent.wait()


def settled(folder: Path, peers: int = PEERS) -> None:
    """The files of a machine that was told of all peers."""
    first = int(ip_address(ADDRESS))
    session = session_at(folder, ME, ADDRESS, 1)
    known = {
        number: KnownPeer(
            id=number,
            name=Name(ME if number == 2 else f"p{number}"),
            ip=ip_address(first + number - 2),
            cidr_id=1,
            public_key=key(ME if number == 2 else f"p{number}"),
            endpoint=None,
            is_admin=False,
        )
        for number in range(2, peers + 2)
    }
    cidr = KnownCidr(id=1, name="kermpany", range=ip_network("127.42.0.0/16"), parent=None)
    netmap = Netmap(network=INTERFACE, network_id="01", me=2, generation=1, revision=1, peers=known, cidrs={1: cidr})
    store.save_pins(session.paths, Pins({str(peer.ip): peer.public_key for peer in known.values()}))
    store.save_netmap(session.paths, netmap, 1.8e9)


async def serve(folder: Path) -> None:
    session = session_at(folder, ME, ADDRESS, 1)
    at = Endpoint("192.0.2.9:51820")
    known = {one.public_key: frozenset({f"{one.ip}/32"}) for one in session.netmap.peers.values()}
    changes = [SetPeer(public_key=one, allowed_ips=ips, is_new=True, endpoint=at) for one, ips in known.items()]
    session.tunnel.backend.create(INTERFACE)
    session.tunnel.backend.apply(INTERFACE, changes)

    async def answer(request: Request) -> object:
        return await (views.show if request.verb == "show" else views.status)(session)

    door = ControlSocket(session.paths.socket, answer, session.paths.data)
    await door.open()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
