"""What grows with the network, and what does not: 65,000 peers in memory, a change among them, a peer's state, a delta
on a client that holds 5,000 peers. In this process, without sockets. And a whole coordinator (`footprint`)."""

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address, ip_network

from benchmarks import footprint
from benchmarks.figures import figure, quantile, title
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import Netmap
from innclient.core.pins import Pins
from innclient.core.trials import Server
from innerd.coordinator.feed import Feed
from innerd.coordinator.presence import Presence
from innerd.domain import commands as c
from innerd.domain.concern import concerned
from innerd.domain.decide import decide
from innerd.domain.events import AnyEvent
from innerd.domain.network import EMPTY, Network, evolve, fold
from innerd.domain.values import Endpoint, Name, PublicKey
from innerd.domain.visibility import View
from innerd.streaming.frames import Frames
from innerd.wire.stream import DECODERS, FrameParser
from innerd.wireguard.device import Device
from tests.client.told import hello
from tests.world import key, private_key

NOW = 1_790_000_000.0


def carried_out(network: Network, command: c.Command) -> tuple[Network, tuple[AnyEvent, ...]]:
    happened = decide(network, command, NOW)
    return fold(network, happened), happened


def grown(cidrs: int, peers: int) -> Network:
    """A network in regions: neighbouring CIDRs know each other. Keys are not real: nobody shakes hands here."""
    network, _ = carried_out(
        EMPTY,
        c.CreateNetwork(
            id="ab" * 16,
            name="size",
            range=ip_network("10.0.0.0/8"),
            public_key=key("coordinator"),
            endpoint=Endpoint("192.0.2.1:51820"),
        ),
    )
    for number in range(cidrs):
        block = (
            ip_network((0x0A010000 + (number << 8), 24))
            if peers // cidrs < 255
            else ip_network((0x0A010000 + (number << 13), 19))
        )
        network, _ = carried_out(network, c.AddCidr(Name(f"c{number}"), block, 1))
        first = int(block.network_address) + 1
        for n in range(peers // cidrs):
            happened = decide(
                network,
                c.AddPeer(
                    name=Name(f"p{number}-{n}"),
                    cidr=3 + number,
                    ip=ip_address(first + n),
                    public_key=PublicKey(f"{number * 10_000 + n:043d}="),
                    is_redeemed=True,
                ),
                NOW,
            )
            for event in happened:
                network = evolve(network, event)
        if number:
            network, _ = carried_out(network, c.AddAssociation(2 + number, 3 + number))
    return network


def timed(act: Callable[[], object], rounds: int = 20) -> float:
    """Seconds of CPU, the median."""
    took = []
    for _ in range(rounds):
        began = time.process_time()
        act()
        took.append(time.process_time() - began)
    return quantile(took, 0.5)


def sixty_five_thousand() -> None:
    tracemalloc.start()
    network = grown(cidrs=325, peers=65_000)
    view = View.of(network)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    figure("state of 65,000 peers, indexes included", f"{used / (1 << 20):.0f} MiB", "<= 100 MiB")
    renamed, happened = carried_out(network, c.RenamePeer(30_000, Name("other")))
    after = view.advance(renamed, happened)
    figure(
        "who must hear of a change, 65,000 peers",
        f"{1e6 * timed(lambda: concerned(view, after, happened)):.0f} us",
        "<= 1 ms",
    )
    figure("a change in the view, 65,000 peers", f"{1e6 * timed(lambda: view.advance(renamed, happened)):.0f} us")
    joined, structural = carried_out(network, c.AddAssociation(3, 300))
    figure(
        "an association in the view, 65,000 peers", f"{1e3 * timed(lambda: view.advance(joined, structural)):.1f} ms"
    )


def one_of_ten_thousand() -> None:
    view = View.of(grown(cidrs=30, peers=10_000))
    peer = view.network.peers[5_000]
    seen = sum(1 for _ in view.visible_to(peer))
    presence = Presence()
    frames = Frames(Feed(view), presence, time.time)
    first = timed(lambda: frames.state(view, peer), 1)
    again = timed(lambda: frames.state(view, peer))
    figure(f"a peer's state, {seen} visible of 10,000: CPU", f"{1e3 * again:.2f} ms", "<= 1 ms")
    figure("  the first time, when nobody asked before", f"{1e3 * first:.1f} ms")
    snapshot = frames.snapshot(view, view.class_of(peer), "")
    figure("  a snapshot of it", f"{len(snapshot) / 1024:.0f} KiB")


def a_delta_on_a_client() -> None:
    for peers in (5, 5_000):
        network = grown(cidrs=1, peers=peers)
        view = View.of(network)
        frames = Frames(Feed(view), Presence(), time.time)
        server = Server(key("coordinator"), network.coordinator.ip, Endpoint("192.0.2.1:51820"))
        me = Identity(
            private_key=private_key("p0-0"),
            public_key=key("p0-0"),
            ip=ip_address("10.1.0.1"),
            server_key=server.public_key,
            server_ip=server.ip,
        )
        core = Membership(me, Netmap(), Pins(), {})
        core.take([hello(head=view.network.revision)], NOW)
        device = take(core, Device(), server, frames.snapshot(view, 3, ""))
        renamed, happened = carried_out(network, c.RenamePeer(4, Name("other")))
        data, _ = frames.delta(view, 3, view.advance(renamed, happened), 3, "")
        cost = timed(partial(take, core, device, server, data))
        figure(f"one delta on a client with {peers:,} peers: CPU", f"{1e3 * cost:.2f} ms")


def take(core: Membership, device: Device, server: Server, data: bytes) -> Device:
    read = [DECODERS[event.event].decode(event.data) for event in FrameParser().feed(data)]
    taken = core.take(read, NOW)
    core.pins = core.check_pins(taken.peers, NOW)
    return core.changes(device, server, {}, NOW, taken)[1]


def run() -> None:
    title("Size")
    sixty_five_thousand()
    one_of_ten_thousand()
    a_delta_on_a_client()
    footprint.run()
