"""Names answered on this machine: what was told is answered at once, to this machine and to nobody else."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
from msgspec.structs import replace

from innclient.core.netmap import KnownPeer, KnownRecord, Netmap
from innclient.names import stub as stub_module
from innclient.names.stub import Stub
from innerd.domain.values import Name
from tests.world import key

OWN = ip_address("127.42.128.1")
BLOCK = ip_network("127.42.0.0/16")


def peer(number: int, name: str, ip: str, *records: KnownRecord) -> KnownPeer:
    return KnownPeer(
        id=number,
        name=Name(name),
        ip=ip_address(ip),
        cidr_id=3,
        public_key=key(name),
        endpoint=None,
        is_admin=False,
        records=records,
    )


RYO = peer(2, "ryo", "127.42.128.1")
MARI = peer(3, "mari", "127.42.128.2", KnownRecord("git", "CNAME", "@"))


def netmap(*peers: KnownPeer, revision: int = 1) -> Netmap:
    return Netmap(network="kermpany", me=2, revision=revision, block=BLOCK, peers={p.id: p for p in peers})


def told(served: Stub, *peers: KnownPeer, of: set[int] | None = None, revision: int = 1) -> None:
    believed = [p for p in peers if of is None or p.id in of]
    served.update(netmap(*peers, revision=revision), believed, of)


@contextlib.asynccontextmanager
async def serving(*peers: KnownPeer, on_tunnel: bool = False) -> AsyncIterator[Stub]:
    served = Stub(OWN, "lo")
    told(served, *peers)
    await served.listen(None, on_tunnel=on_tunnel)
    assert served.address is not None, served.trouble
    try:
        yield served
    finally:
        await served.close()


@pytest.fixture(autouse=True)
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """One that needs no rights and is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("", 0))
        free = int(probe.getsockname()[1])
    monkeypatch.setattr(stub_module, "PORT", free)
    return free


async def asked(served: Stub, name: str, kind: str = "A", by: str = "127.0.0.1", at: str | None = None) -> str:
    question = dns.message.make_query(name, kind)
    answer = await dns.asyncquery.udp(question, at or served.address or "", timeout=2, port=stub_module.PORT, source=by)
    if answer.rcode() != dns.rcode.NOERROR:
        return dns.rcode.to_text(answer.rcode())
    return " ".join(item.to_text() for rrset in answer.answer for item in rrset)


async def test_names_addresses_and_records_are_answered_and_all_else_is_refused() -> None:
    async with serving(RYO, MARI) as served:
        assert await asked(served, "mari.kermpany.wg") == "127.42.128.2"
        assert await asked(served, "git.kermpany.wg") == "mari.kermpany.wg. 127.42.128.2"
        assert await asked(served, "2.128.42.127.in-addr.arpa", "PTR") == "mari.kermpany.wg."
        assert await asked(served, "mari.kermpany.wg", "AAAA") == ""
        assert await asked(served, "nobody.kermpany.wg") == "NXDOMAIN"
        assert await asked(served, "www.example.com") == "REFUSED"


async def test_a_change_is_answered_at_once_and_costs_what_it_speaks_of() -> None:
    async with serving(RYO, MARI) as served:
        renamed = replace(MARI, name=Name("marimo"))
        told(served, RYO, renamed, of={3}, revision=2)
        assert await asked(served, "marimo.kermpany.wg") == "127.42.128.2"
        assert await asked(served, "mari.kermpany.wg") == "NXDOMAIN"
        assert await asked(served, "git.kermpany.wg") == "marimo.kermpany.wg. 127.42.128.2"
        told(served, RYO, of={3}, revision=3)
        assert await asked(served, "marimo.kermpany.wg") == "NXDOMAIN"
        assert await asked(served, "git.kermpany.wg") == "NXDOMAIN"
        assert await asked(served, "ryo.kermpany.wg") == "127.42.128.1"


async def test_another_peer_is_not_answered_on_the_tunnels_address_but_this_machine_is() -> None:
    async with serving(RYO, MARI, on_tunnel=True) as served:
        assert await asked(served, "mari.kermpany.wg", by=str(OWN), at=str(OWN)) == "127.42.128.2"
        with pytest.raises(dns.exception.Timeout):
            await asyncio.wait_for(asked(served, "mari.kermpany.wg", by="127.42.128.2", at=str(OWN)), 5)


async def test_two_networks_take_two_addresses() -> None:
    async with serving(RYO) as one, serving(MARI) as other:
        assert one.address != other.address
        assert await asked(other, "mari.kermpany.wg") == "127.42.128.2"


async def test_an_address_that_is_taken_is_said_with_who_has_it(port: int) -> None:
    served = Stub(OWN, "lo")
    told(served, RYO)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.200", port))
        await served.listen("127.0.0.200", on_tunnel=False)
        assert served.address is None
        assert served.trouble is not None
        assert "(pid" in served.trouble
    await served.listen("127.0.0.200", on_tunnel=False)
    assert (served.address, served.trouble) == ("127.0.0.200", None)
    await served.close()


async def test_records_that_can_not_be_read_cost_nobody_a_name() -> None:
    odd = peer(3, "mari", "127.42.128.2", KnownRecord("a.@", "MX", "10 mari"), KnownRecord("b.@", "A", "no address"))
    async with serving(RYO, odd) as served:
        assert await asked(served, "mari.kermpany.wg") == "127.42.128.2"
