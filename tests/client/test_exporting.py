"""The agent's metrics: what they say, who gets them, and that nobody who asks for them can hurt the agent."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from innclient import config
from innclient.agent import metrics as exporter
from innclient.agent.metrics import export
from innclient.agent.session import Session
from inndns.server import DnsServer
from inndns.zone import empty
from innerd.domain import commands as c
from innerd.domain.maps import Map
from innerd.domain.values import parse_range
from innerd.failure import Failure
from innerd.wireguard.memory import MemoryBackend
from innerd.wireguard.plan import RemovePeer
from tests.client.agents import agent_of
from tests.client.support import eventually, paths_in, session_of, write_config
from tests.world import World, key, populated

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.asynccontextmanager
async def exported(folder: Path, **agent: Any) -> AsyncIterator[tuple[World, Session, int]]:
    """An agent in step whose metrics are served; its port."""
    w, metrics = await populated(), free_port()
    async with w.listening() as port:
        session = session_of(w, "ryo", folder, port)
        for option, value in {"metrics_listen": f"127.0.0.1:{metrics}", **agent}.items():
            setattr(session.loaded.config.agent, option, value)
        async with agent_of(session):
            await eventually(lambda: session.applied)
            await eventually(lambda: answers(metrics), "its metrics")
            yield w, session, metrics


def answers(port: int) -> bool:
    with socket.socket() as asker:
        return asker.connect_ex(("127.0.0.1", port)) == 0


async def said(port: int, head: str) -> bytes:
    """Everything that comes after a head, until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


async def scrape(port: int) -> dict[str, Any]:
    head, _, body = (await said(port, f"GET /metrics HTTP/1.1\nHost: 127.0.0.1:{port}")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    found = [s.value for f in families.values() for s in f.samples if s.name == name and s.labels == labels]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


async def test_the_page_says_how_the_agent_is(tmp_path: Path) -> None:
    async with exported(tmp_path) as (w, session, port):
        families = await scrape(port)
        assert value(families, "inn_revision") == value(families, "inn_applied_revision") == w.writer.network.revision
        assert value(families, "inn_connected") == 1
        assert value(families, "inn_last_contact_timestamp_seconds") == session.last_heard
        assert value(families, "inn_network_info", interface="kermpany", network="kermpany", peer="ryo") == 1
        ways = {sample.labels["path"]: sample.value for sample in families["inn_peers"].samples}
        none = {"lan": 0, "direct": 0, "punched": 0, "relayed": 0, "tcp": 0}
        assert ways == none | {"none": 2}  # the coordinator and mari: no real tunnels
        for name in ("inn_trust_broken", "inn_log_forked", "inn_device_failing", "inn_disk_failing"):
            assert value(families, name) == 0


async def test_the_page_says_that_the_coordinator_shut_this_peer_out(tmp_path: Path) -> None:
    async with exported(tmp_path) as (w, session, port):
        await w.do(c.DisablePeer(w.peer("ryo").id))
        await eventually(
            lambda: session.agent.connection.trouble and not session.agent.connection.since, "the connection to be lost"
        )
        families = await scrape(port)
        assert value(families, "inn_connected") == 0
        assert value(families, "inn_applied_revision") > 0


async def test_a_repair_of_the_device_is_counted(tmp_path: Path) -> None:
    async with exported(tmp_path) as (_, session, port):
        assert value(await scrape(port), "inn_device_repairs_total") == 0
        session.tunnel.backend.apply(session.paths.interface, [RemovePeer(key("mari"))])
        await session.apply()
        assert value(await scrape(port), "inn_device_repairs_total") == 1


async def test_series_per_peer_are_there_only_where_asked_for(tmp_path: Path) -> None:
    async with exported(tmp_path / "without") as (_, _, port):
        assert not [
            s for f in (await scrape(port)).values() for s in f.samples if "peer" in s.labels and len(s.labels) == 1
        ]
    async with exported(tmp_path / "with", metrics_per_peer=True) as (_, session, port):
        backend = session.tunnel.backend
        assert isinstance(backend, MemoryBackend)
        backend.hear(session.paths.interface, key("mari"), 1_790_000_000.5)
        entry = session.tunnel.get().peers[key("mari")]
        families = await scrape(port)
        assert value(families, "inn_peer_received_bytes_total", peer="mari") == entry.rx_bytes
        assert value(families, "inn_peer_sent_bytes_total", peer="mari") == entry.tx_bytes
        assert value(families, "inn_peer_last_handshake_timestamp_seconds", peer="mari") == 1_790_000_000.5
        assert len(families["inn_peer_last_handshake_timestamp_seconds"].samples) == 1


async def test_names_answered_by_the_stub_are_counted(tmp_path: Path) -> None:
    async with exported(tmp_path) as (_, session, port):
        nothing = empty("kermpany", "wg", parse_range("127.42.0.0/16"), "innernet-server", 5, Map())
        server = DnsServer(lambda: nothing)
        server.counters.responses["udp", "A", "NOERROR"] = 7
        await session.names.stub.close()
        session.names.stub._server = server
        families = await scrape(port)
        assert value(families, "inn_dns_responses_total", transport="udp", qtype="A", rcode="NOERROR") == 7
        assert value(families, "inn_dns_dropped_total", reason="unknown_source") == 0


async def test_every_family_of_the_page_is_in_the_docs_and_no_other(tmp_path: Path) -> None:
    async with exported(tmp_path, metrics_per_peer=True) as (_, session, port):
        backend, server = (
            session.tunnel.backend,
            DnsServer(lambda: empty("a", "b", parse_range("127.0.0.0/8"), "c", 5, Map())),
        )
        assert isinstance(backend, MemoryBackend)
        backend.hear(session.paths.interface, key("mari"), 1_790_000_000.5)
        server.counters.responses["udp", "A", "NOERROR"] = 7
        await session.names.stub.close()
        session.names.stub._server = server
        families = await scrape(port)
    rendered = {name + ("_total" if family.type == "counter" else "") for name, family in families.items()}
    _, _, part = (ROOT / "docs/metrics.md").read_text().partition("## Families of the agent\n")
    listed = set(re.findall(r"^\| `(inn_\w+)`", part.partition("\n## ")[0], re.M))
    assert rendered == listed | {"process_cpu_seconds_total", "process_resident_memory_bytes"}


HEADS = ["GET /", "GET /metrics/", "GET /v1/user/state", "POST /metrics", "HEAD /metrics"]
FOREIGN = [
    "",
    "Host: evil.example:{port}",
    "Host: 127.0.0.1:{port}\nHost: evil.example",
    "Host: ",
    "Host: 127.0.0.1",
    "Host: [::1]:{port}",
    "Host: 127.0.0.1:{port}\nOrigin: http://evil.example",
    "Host: 127.0.0.1:{port}\nreferer: http://evil.example/",
]


async def test_nothing_but_the_page_is_there(tmp_path: Path) -> None:
    async with exported(tmp_path) as (_, _, port):
        for line in HEADS:
            answer = await said(port, f"{line} HTTP/1.1\nHost: 127.0.0.1:{port}")
            assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n"), line
        for host in ("127.0.0.1", "localhost", "LOCALHOST"):
            answer = await said(port, f"GET /metrics HTTP/1.1\nhost: {host}:{port}")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), host


async def test_a_web_page_gets_nothing_whatever_name_it_gave_the_address(tmp_path: Path) -> None:
    async with exported(tmp_path) as (_, _, port):
        for fields in FOREIGN:
            head = f"GET /metrics HTTP/1.1\n{fields.format(port=port)}".rstrip("\n")
            assert (await said(port, head)).startswith(b"HTTP/1.1 403 Forbidden\r\n"), fields
        assert (await said(port, "\x00")).startswith(b"HTTP/1.1 403 Forbidden\r\n")


async def test_who_asks_slowly_takes_a_place_for_a_while_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "_REQUEST", 0.3)
    async with exported(tmp_path) as (_, _, port):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(exporter._MOST)]
        with pytest.raises((ConnectionError, AssertionError)):
            await scrape(port)  # no place is left
        async with asyncio.timeout(5):
            for reader, writer in idle:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        assert value(await scrape(port), "inn_connected") == 1


async def test_who_reads_nothing_takes_a_place_for_a_while_and_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "_ANSWER", 0.5)
    async with exported(tmp_path) as (_, _, port):
        with monkeypatch.context() as patch, contextlib.ExitStack() as deaf:
            patch.setattr(exporter, "_answer", lambda status, body: b"x" * 20_000_000)
            for _ in range(exporter._MOST):
                reader = deaf.enter_context(socket.create_connection(("127.0.0.1", port)))
                reader.sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            with pytest.raises((ConnectionError, AssertionError)):
                await scrape(port)
            patch.undo()
            async with asyncio.timeout(5):
                while not await said_or_nothing(port):  # noqa: ASYNC110 - places come free without a word
                    await asyncio.sleep(0.02)


async def said_or_nothing(port: int) -> bytes:
    try:
        return await said(port, f"GET /metrics HTTP/1.1\nHost: localhost:{port}")
    except ConnectionError:
        return b""


async def test_an_endless_head_is_cut_off(tmp_path: Path) -> None:
    async with exported(tmp_path) as (_, _, port):
        with contextlib.suppress(ConnectionError):
            assert await said(port, "GET /metrics HTTP/1.1\nX: " + "x" * 100_000) == b""


async def test_an_address_that_is_taken_is_tried_again_and_tunnels_are_up_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "_AGAIN", 0.01)
    w = await populated()
    async with w.listening() as port:
        session = session_of(w, "ryo", tmp_path, port)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            metrics = taken.getsockname()[1]
            session.loaded.config.agent.metrics_listen = f"127.0.0.1:{metrics}"
            agent = agent_of(session)
            await agent.__aenter__()
            await eventually(lambda: session.applied)
        await eventually(lambda: answers(metrics), "its metrics")
        assert value(await scrape(metrics), "inn_connected") == 1
        await agent.__aexit__(None, None, None)
    assert not answers(metrics)


async def test_nothing_is_served_unless_the_config_says_so(tmp_path: Path) -> None:
    session = session_of(await populated(), "ryo", tmp_path, 1)
    async with asyncio.timeout(1):
        await export(session)


@pytest.mark.parametrize("where", ["9587", "localhost:9587", "metrics.example:9587", "127.0.0.1", "127.0.0.1:99999"])
def test_a_listen_address_that_is_none_is_refused_with_its_key(tmp_path: Path, where: str) -> None:
    paths = paths_in(tmp_path)
    write_config(paths, "ryo", "127.42.128.1", 1, metrics_listen=where)
    with pytest.raises(Failure, match=r"\[agent\] metrics-listen: ") as failure:
        config.load(paths)
    assert failure.value.code == "config_invalid"
