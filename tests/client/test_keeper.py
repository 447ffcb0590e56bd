"""One peer's session against a real coordinator on the loopback, its device in memory: what the network says becomes
what the device is, and stays so through whatever happens."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from innclient.agent import endpoints, store
from innclient.agent.run import cycle, why_unreachable
from innclient.agent.session import Session
from innclient.agent.shelf import Shelf
from innclient.agent.views import status_from_files
from innclient.core.pins import Pins
from innclient.names.publisher import NameSettings
from innerd import __version__
from innerd.coordinator.presence import Observed, Presence
from innerd.domain import commands as c
from innerd.domain.values import parse_endpoint
from innerd.failure import REFUSED, TRUST, UNREACHABLE, Failure
from innerd.host import domains
from innerd.serve.listener import Listener
from innerd.wireguard.plan import RemovePeer, SetPeer
from tests.client.support import COORDINATOR, eventually, hosts_of, on_device, paths_in, session_of
from tests.world import INTERFACE, Dated, World, key, populated


@pytest.fixture
async def kermpany() -> World:
    return await populated()


@contextlib.asynccontextmanager
async def running(session: Session) -> AsyncIterator[Session]:
    await session.bring_up()
    task = asyncio.create_task(session.run())
    try:
        yield session
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def in_step(session: Session, kermpany: World) -> None:
    """Until the session has applied the network's newest revision and the coordinator knows it."""
    peer = kermpany.peer("ryo").id
    await eventually(lambda: kermpany.presence.applied(peer) == kermpany.writer.network.revision, "a receipt", within=4)


async def test_a_cycle_brings_the_device_to_what_the_network_says(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
    device = session.tunnel.get()
    assert {k: p.allowed_ips for k, p in device.peers.items()} == {
        key("coordinator"): frozenset({f"{COORDINATOR}/32"}),
        key("mari"): frozenset({f"{kermpany.peer('mari').ip}/32"}),
    }
    assert device.peers[key("coordinator")].endpoint == "192.0.2.1:51820"
    assert hosts_of(session).splitlines()[1:-1] == [
        "127.42.0.1 innernet-server.kermpany.wg",
        f"{kermpany.peer('ryo').ip} ryo.kermpany.wg",
        f"{kermpany.peer('mari').ip} mari.kermpany.wg",
    ]
    receipt = kermpany.presence.receipts[kermpany.peer("ryo").id]
    assert (receipt.revision, receipt.refused) == (kermpany.writer.network.revision, ())


async def test_a_change_reaches_the_device_and_a_receipt_comes_back(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        await kermpany.associate("humans", "ovens")
        await in_step(session, kermpany)
        assert on_device(session) == {key("coordinator"), key("mari"), key("oven")}
        assert "oven.kermpany.wg" in hosts_of(session)
        await kermpany.do(c.RemovePeer(kermpany.peer("mari").id))
        await in_step(session, kermpany)
        assert on_device(session) == {key("coordinator"), key("oven")}
        assert "mari" not in hosts_of(session)


async def test_a_rename_changes_the_names_and_leaves_the_device_alone(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        before = list(session.tunnel.backend.applied)
        await kermpany.do(c.ChangePeer(id=kermpany.peer("mari").id, name="mari-laptop"))
        await in_step(session, kermpany)
        assert "mari-laptop.kermpany.wg" in hosts_of(session)
        assert session.tunnel.backend.applied == before


async def test_a_disabled_peer_keeps_nobody_but_the_coordinator(kermpany: World, tmp_path: Path) -> None:
    ryo = kermpany.peer("ryo").id
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        await kermpany.do(c.ChangePeer(id=ryo, is_disabled=True))
        await eventually(lambda: on_device(session) == {key("coordinator")})
        await eventually(lambda: "mari" not in hosts_of(session))
        await eventually(
            lambda: (
                "disabled" in (session.agent.connection.trouble or "")
                or "unauthorized" in (session.agent.connection.trouble or "")
            )
        )
        await eventually(lambda: store.load_netmap(session.paths)[0].is_emptied, "written down")
        await kermpany.do(c.ChangePeer(id=ryo, is_disabled=False))
        await eventually(lambda: on_device(session) == {key("coordinator"), key("mari")}, "back in")


async def test_two_machines_with_one_key_are_named_before_they_take_the_place_from_each_other_again(
    kermpany: World, tmp_path: Path
) -> None:
    ryo = kermpany.peer("ryo").id
    for host in ("192.0.2.1", "192.0.2.2"):
        kermpany.presence.observe(ryo, Observed(parse_endpoint(f"{host}:51820"), kermpany.now, 0, 0))
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path / "one", port)) as one:
        await in_step(one, kermpany)
        assert kermpany.presence.software == {ryo: f"inn/{__version__}"}
        async with running(session_of(kermpany, "ryo", tmp_path / "two", port)) as two:
            await eventually(lambda: one.agent.connection.twins and two.agent.connection.twins, "both to be told")
            assert one.agent.connection.twins == two.agent.connection.twins == ["192.0.2.1:51820", "192.0.2.2:51820"]
            assert kermpany.hub.streams.ended["replaced"] <= 3, "each came back once"


async def test_who_was_shut_out_knows_it_still_when_it_starts_anew(kermpany: World, tmp_path: Path) -> None:
    ryo = kermpany.peer("ryo").id
    async with kermpany.listening() as port:
        async with running(session_of(kermpany, "ryo", tmp_path, port)) as session:
            await in_step(session, kermpany)
            await kermpany.do(c.ChangePeer(id=ryo, is_disabled=True))
            await eventually(lambda: store.load_netmap(session.paths)[0].is_emptied, "written down")
        session = session_of(kermpany, "ryo", tmp_path, port)
        status = status_from_files(session.paths, session.loaded, session.choices.names, session.tunnel)
        assert (status.shut_out, status.trouble) == ("disabled", "this machine was disabled by an administrator")
        why = await why_unreachable(session.paths, session.tunnel, session.loaded)
        assert (why.status, why.code) == (REFUSED, "stream_ended")
        await kermpany.do(c.ChangePeer(id=ryo, is_disabled=False))
        async with running(session):
            await eventually(lambda: session.netmap.shut_out is None, "let in again")
            await eventually(lambda: store.load_netmap(session.paths)[0].shut_out is None, "written down, too")


def bound_again(port: int) -> socket.socket:
    listening = socket.create_server((COORDINATOR, port))
    listening.setblocking(False)
    return listening


async def test_after_the_coordinator_was_restarted_the_stream_goes_on_at_its_cursor(
    kermpany: World, tmp_path: Path
) -> None:
    ryo = kermpany.peer("ryo").id
    async with contextlib.AsyncExitStack() as stack:
        async with kermpany.listening() as port:
            session = await stack.enter_async_context(running(session_of(kermpany, "ryo", tmp_path, port)))
            await in_step(session, kermpany)
        await eventually(lambda: session.agent.connection.since is None)
        assert on_device(session) == {key("coordinator"), key("mari")}  # nothing went with the coordinator
        endpoint = kermpany.services.internal_endpoint
        kermpany.presence = Presence()
        await kermpany.start()
        kermpany.provide(internal_endpoint=endpoint)
        asked: list[bytes] = []

        async def noting(scope, receive, send) -> None:
            asked.append(dict(scope["headers"]).get(b"last-event-id", b""))
            await kermpany.app(scope, receive, send)

        listener = Listener(Dated(kermpany, noting), bound_again(port))
        listener.config.date_header = False
        await listener.start()
        try:
            await eventually(lambda: ryo in kermpany.presence.streaming, "a stream")
            assert asked[0].decode() == f"1.{kermpany.writer.network.revision}"
            await kermpany.associate("humans", "ovens")
            await in_step(session, kermpany)
            assert key("oven") in on_device(session)
        finally:
            await kermpany.hub.shut_down()
            await listener.stop()


async def test_a_restarted_coordinator_learns_again_who_is_in_step(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        kermpany.presence.receipts.clear()  # soft state: a restart loses it
        for stream in kermpany.hub.streams.by_peer.values():
            kermpany.hub.streams.end(stream, "shutting_down")
        await in_step(session, kermpany)


async def test_a_device_that_somebody_edited_is_put_right(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
        right = session.tunnel.get()
        stranger = SetPeer(
            public_key=key("stranger"), is_new=True, allowed_ips=right.peers[key("mari")].allowed_ips, keepalive=0
        )
        session.tunnel.backend.apply(INTERFACE, [stranger, RemovePeer(key("coordinator"))])
        await session.apply()
        assert session.tunnel.get() == right


async def test_without_the_coordinator_the_device_comes_up_from_what_is_on_disk(
    kermpany: World, tmp_path: Path
) -> None:
    async with kermpany.listening() as port:
        await cycle(session_of(kermpany, "ryo", tmp_path, port))
    (tmp_path / "hosts").unlink()
    again = session_of(kermpany, "ryo", tmp_path, port)
    with pytest.raises(Failure) as failed:
        await cycle(again)
    assert failed.value.status == UNREACHABLE
    assert on_device(again) == {key("coordinator"), key("mari")}
    assert "mari.kermpany.wg" in hosts_of(again)


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a resolver was asked that answers when the test is over."""
    ends, asked = threading.Event(), []

    def resolve(endpoint: str, block: object) -> list[str]:
        asked.append(endpoint)
        ends.wait()
        return []

    monkeypatch.setattr(domains, "resolve", resolve)
    monkeypatch.setattr(endpoints, "_PATIENCE", 0.0)
    yield asked
    ends.set()


async def test_with_a_silent_resolver_a_revocation_is_applied_and_the_device_put_right(
    kermpany: World, tmp_path: Path, silent_resolver: list[str]
) -> None:
    """The coordinator is told by name from now on, and so are three peers: nothing waits for what these are."""
    await kermpany.associate("humans", "ovens")
    mari = kermpany.peer("mari")
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        for name in ("mari", "oven"):
            await kermpany.do(c.OverrideEndpoint(kermpany.peer(name).id, parse_endpoint(f"{name}.example.com:1")))
        await kermpany.do(c.SetNetworkEndpoint(parse_endpoint("vpn.example.com:443")))
        await in_step(session, kermpany)
        await eventually(lambda: {"vpn.example.com:443", "mari.example.com:1"} <= set(silent_resolver), within=12)
        assert session.tunnel.get().peers[key("coordinator")].endpoint == "192.0.2.1:51820"
        session.tunnel.forget(key("oven"))
        await kermpany.do(c.RemovePeer(mari.id))
        await in_step(session, kermpany)
        await eventually(lambda: on_device(session) == {key("coordinator"), key("oven")}, "put right", within=12)


async def test_with_a_silent_resolver_a_start_from_the_cache_goes_where_the_coordinator_was(
    kermpany: World, tmp_path: Path, silent_resolver: list[str]
) -> None:
    await kermpany.do(c.SetNetworkEndpoint(parse_endpoint("vpn.example.com:443")))
    async with kermpany.listening() as port:
        await cycle(session_of(kermpany, "ryo", tmp_path, port))
    paths = paths_in(tmp_path)
    Shelf(paths).save_last(store.Last(endpoints={COORDINATOR: "198.51.100.3:443"}))
    again = session_of(kermpany, "ryo", tmp_path, port)
    await again.bring_up()
    assert on_device(again) == {key("coordinator"), key("mari")}
    assert again.tunnel.get().peers[key("coordinator")].endpoint == "198.51.100.3:443"
    await again.http.aclose()


async def test_a_name_that_is_found_at_last_is_gone_to_at_once(
    kermpany: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()

    def resolve(endpoint: str, block: object) -> list[str]:
        found.wait()
        return ["198.51.100.7:443"]

    monkeypatch.setattr(domains, "resolve", resolve)
    monkeypatch.setattr(endpoints, "_MORE_PATIENCE", 0.0)
    session = session_of(kermpany, "ryo", tmp_path, 1, tick=3600.0)
    session.loaded.overrides[ip_address(COORDINATOR)] = parse_endpoint("vpn.example.com:443")
    async with running(session):
        assert session.tunnel.get().peers[key("coordinator")].endpoint is None
        found.set()
        await eventually(lambda: session.tunnel.get().peers[key("coordinator")].endpoint == "198.51.100.7:443")


# -- trust --------------------------------------------------------------------------------------------------------


def pin(keeper_folder: Path, kermpany: World, name: str, key_name: str) -> None:
    """An earlier run of this peer saw another key for a peer's address."""
    store.save_pins(paths_in(keeper_folder), Pins({str(kermpany.peer(name).ip): key(key_name)}))


async def test_a_changed_key_reaches_neither_device_nor_names_and_is_reported(kermpany: World, tmp_path: Path) -> None:
    pin(tmp_path, kermpany, "mari", "mari of old")
    await kermpany.associate("humans", "ovens")
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        assert on_device(session) == {key("coordinator"), key("oven")}
        assert "mari" not in hosts_of(session)
        assert "oven" in hosts_of(session)
        (broken,) = session.pins.broken.values()
        assert (broken.name, broken.pinned, broken.offered) == ("mari", key("mari of old"), key("mari"))
        receipt = kermpany.presence.receipts[kermpany.peer("ryo").id]
        assert receipt.refused == ((kermpany.peer("mari").id, "pin"),)
    assert store.load_pins(session.paths).broken == session.pins.broken
    assert store.load_pins(session.paths).keys[str(kermpany.peer("mari").ip)] == key("mari of old")


async def test_the_cache_is_no_way_around_a_pin(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        await cycle(session_of(kermpany, "ryo", tmp_path, port))
    pin(tmp_path, kermpany, "mari", "mari of old")
    session = session_of(kermpany, "ryo", tmp_path, port)
    await session.bring_up()
    await session.http.aclose()
    assert key("mari") not in on_device(session)


async def test_another_log_in_the_same_generation_is_not_applied(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        await cycle(session_of(kermpany, "ryo", tmp_path, port))
    forked = await populated()  # the same facts, the same revisions, and another chain
    await forked.associate("humans", "ovens")
    async with forked.listening() as port:
        session = session_of(forked, "ryo", tmp_path, port)
        with pytest.raises(Failure) as failed:
            await cycle(session)
    assert (failed.value.status, failed.value.code) == (TRUST, "log_forked")
    assert on_device(session) == {key("coordinator"), key("mari")}


async def test_the_agent_says_that_the_log_was_forked_and_stays_as_it_was(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        await cycle(session_of(kermpany, "ryo", tmp_path, port))
    forked = await populated()
    await forked.associate("humans", "ovens")
    async with forked.listening() as port, running(session_of(forked, "ryo", tmp_path, port)) as session:
        await eventually(lambda: session.agent.connection.forked is not None)
        assert on_device(session) == {key("coordinator"), key("mari")}
        assert session.agent.connection.since is None


# -- endpoints and names ----------------------------------------------------------------------------------------


async def test_a_silent_peer_is_tried_where_the_coordinator_saw_it(kermpany: World, tmp_path: Path) -> None:
    mari = kermpany.peer("mari")
    kermpany.presence.observe(mari.id, Observed(parse_endpoint("203.0.113.4:4"), None, 0, 0))
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        await eventually(
            lambda: session.tunnel.get().peers[key("mari")].endpoint == "203.0.113.4:4", "our turn", within=12
        )


async def test_without_traversal_no_endpoint_is_tried(kermpany: World, tmp_path: Path) -> None:
    mari = kermpany.peer("mari")
    kermpany.presence.observe(mari.id, Observed(parse_endpoint("203.0.113.4:4"), None, 0, 0))
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port, try_endpoints=False)
        await cycle(session)
        assert session.tunnel.get().peers[key("mari")].endpoint is None


async def test_a_peer_that_roamed_is_left_where_it_is(kermpany: World, tmp_path: Path) -> None:
    mari = kermpany.peer("mari")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
        session.tunnel.backend.hear(INTERFACE, key("mari"), time.time(), "198.51.100.9:9")
        kermpany.presence.observe(mari.id, Observed(parse_endpoint("203.0.113.4:4"), None, 0, 0))
        again = session_of(kermpany, "ryo", tmp_path, port)
        again.tunnel.backend = session.tunnel.backend
        await cycle(again)
        assert again.tunnel.get().peers[key("mari")].endpoint == "198.51.100.9:9"


async def test_a_coordinator_that_moves_is_followed_at_once(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port, running(session_of(kermpany, "ryo", tmp_path, port)) as session:
        await in_step(session, kermpany)
        session.tunnel.backend.hear(INTERFACE, key("coordinator"), time.time())  # the old place seems alive
        await kermpany.do(c.SetNetworkEndpoint(parse_endpoint("198.51.100.1:443")))
        await in_step(session, kermpany)
        assert session.tunnel.get().peers[key("coordinator")].endpoint == "198.51.100.1:443"


@pytest.mark.parametrize(("suffix", "line"), [("home.arpa", "mari.home.arpa"), ("", "mari")], ids=["own", "none"])
async def test_names_have_the_suffix_that_was_asked_for(
    kermpany: World, tmp_path: Path, suffix: str, line: str
) -> None:
    async with kermpany.listening() as port:
        names = NameSettings(path=tmp_path / "hosts", suffix=suffix)
        await cycle(session_of(kermpany, "ryo", tmp_path, port, names=names))
    assert f"{kermpany.peer('mari').ip} {line}" in (tmp_path / "hosts").read_text().splitlines()


async def test_a_hosts_file_that_cannot_be_written_does_not_keep_the_device_back(
    kermpany: World, tmp_path: Path
) -> None:
    (tmp_path / "hosts").write_text(f"# DO NOT EDIT innernet {INTERFACE} END\n")
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port)
        await cycle(session)
    assert key("mari") in on_device(session)
    assert hosts_of(session) == f"# DO NOT EDIT innernet {INTERFACE} END\n"


async def test_the_peers_own_addresses_are_reported_without_the_excluded(kermpany: World, tmp_path: Path) -> None:
    ryo = kermpany.peer("ryo").id
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port, report_candidates=True)
        session.loaded.config.agent.exclude_nat_candidates = ["0.0.0.0/0", "::/0"]
        kermpany.presence.candidates[ryo] = (parse_endpoint("203.0.113.1:1"),)
        async with running(session):
            await eventually(lambda: kermpany.presence.candidates[ryo] == (), "a report of nothing")
