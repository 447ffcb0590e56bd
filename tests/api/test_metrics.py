"""`/metrics`: who may read it, and what Prometheus makes of it."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from innerd.api.metrics import Counted, Metrics
from innerd.api.timings import _HTTP_BUCKETS, Timings
from innerd.config import MetricsSection, metrics_rule
from innerd.coordinator.feed import Committed
from innerd.coordinator.presence import Observed, Presence
from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.values import Endpoint
from innerd.log.memory import MemoryStore
from innerd.serve.clock import Clock
from innerd.serve.status_line import troubles
from tests.api.asking import ask
from tests.api.logs import write
from tests.world import World, key


def switch_on(
    w: World,
    *,
    allow: list[str] | None = None,
    per_peer: bool = True,
    projections: dict[str, Callable[[], int]] | None = None,
) -> Metrics:
    """What the composition root does with the metrics of a coordinator."""
    rule = metrics_rule(MetricsSection() if allow is None else MetricsSection(allow=allow))
    metrics = Metrics(w.services, w.timings, projections or {}, per_peer=per_peer)
    w.provide(may_read_metrics=lambda peer: rule.allows(peer, w.writer.view))
    w.provide(render_metrics=metrics.page)
    w.provide(observe_request=w.timings.observe_request)
    return metrics


async def test_others_have_turns_while_a_page_is_made(w: World) -> None:
    metrics, turns = switch_on(w), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    page = await metrics.page()
    task.cancel()
    assert turns >= 4
    assert page.endswith(b"\n")
    assert page.count(b"# TYPE innerd_") >= 20


async def scrape(w: World, who: str | None = "ryo") -> dict[str, Any]:
    """The families by name, as an independent parser reads them."""
    answer = await ask(w, who, "GET", "/metrics", server_key=None)
    assert answer.status == 200
    return {family.name: family for family in text_string_to_metric_families(answer.body.decode())}


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


async def test_what_peers_run_and_keys_on_two_machines_are_counted(w: World) -> None:
    switch_on(w)
    families = await scrape(w)
    assert value(families, "innerd_peers_running", software="unknown") == 4
    assert value(families, "innerd_keys_shared") == 0
    clock = Clock(None, lambda: w.now, lambda: w.now)
    w.provide(troubles=lambda: list(troubles(w.writer, clock, w.hub, w.presence)))
    mari = w.peer("mari").id
    w.presence.observe(mari, Observed(Endpoint("192.0.2.1:51820"), w.now, 0, 0))
    for run in ("a", "b", "a"):
        w.presence.met(mari, run)
    w.presence.report_software(mari, "inn/0.1.0")
    w.presence.report_software(w.peer("oven").id, "ureq/2.12.1")
    switch_on(w)
    families = await scrape(w)
    running = {s.labels["software"]: s.value for s in families["innerd_peers_running"].samples}
    assert running == {"inn/0.1.0": 1, "ureq/2.12.1": 1, "unknown": 2}
    assert value(families, "innerd_keys_shared") == 1


def test_however_many_releases_there_are_they_make_few_series() -> None:
    presence = Presence()
    for number in range(40):
        presence.report_software(number, f"inn/0.{number // 2}")
    counted = presence.releases(range(50))
    assert len(counted) == 12
    assert (counted["other"], counted["unknown"], sum(counted.values())) == (20, 10, 50)


CASES = [
    (None, {"ryo", "local"}),
    ([], {"local"}),
    (["admins"], {"ryo", "local"}),
    (["infra"], {"local"}),
    (["127.42.3.0/24"], {"tama", "local"}),
    (["127.42.3.1/32", "127.42.64.0/20"], {"tama", "oven", "local"}),
    (["admins", "127.42.128.0/17"], {"ryo", "mari", "kin", "local"}),
]


@pytest.mark.parametrize(("allow", "readers"), CASES, ids=lambda part: str(part) if not isinstance(part, set) else "")
async def test_metrics_are_for_whom_the_config_allows(w: World, allow: list[str] | None, readers: set[str]) -> None:
    """An invitee and a disabled admin never read."""
    await w.join("kin", "humans")
    await w.invite("kuro", "cats", admin=True)
    await w.join("ex", "humans", admin=True)
    await w.do(c.DisablePeer(w.peer("ex").id))
    switch_on(w, allow=allow)
    everybody = {"ryo", "mari", "kin", "oven", "tama", "kuro", "ex", "innernet-server", "127.42.9.9"}
    could = {who for who in everybody if (await ask(w, who, "GET", "/metrics", server_key=None)).status == 200}
    if (await ask(w, None, "GET", "/metrics")).status == 200:
        could.add("local")
    assert could == readers


async def test_a_second_peer_of_the_infra_cidr_reads_only_where_infra_is_allowed() -> None:
    """An imported network may have an infra CIDR of more than one address."""
    w = await wide_infra()
    switch_on(w)
    assert (await ask(w, "prometheus", "GET", "/metrics", server_key=None)).status == 200
    switch_on(w, allow=["admins"])
    assert (await ask(w, "prometheus", "GET", "/metrics", server_key=None)).status == 401


async def wide_infra() -> World:
    store = MemoryStore()
    await write(
        store,
        e.NetworkCreated(id="00" * 16, name="kermpany", range="127.42.0.0/16"),
        e.CidrCreated(id=1, name="kermpany", range="127.42.0.0/16", parent=None),
        e.CidrCreated(id=2, name="innernet-server", range="127.42.0.0/24", parent=1),
        *(
            e.PeerAdded(
                id=number,
                name=name,
                ip=f"127.42.0.{number}",
                public_key=key(name),
                is_admin=number == 1,
                is_redeemed=True,
                invite_expires=None,
            )
            for number, name in ((1, "innernet-server"), (2, "prometheus"))
        ),
    )
    w = World(store)
    await w.start()
    return w


async def test_the_content_type_is_prometheus_text_format(w: World) -> None:
    switch_on(w)
    kind = (await ask(w, "ryo", "GET", "/metrics")).headers["content-type"]
    assert kind == "text/plain; version=0.0.4; charset=utf-8"


async def test_the_page_says_how_the_network_is(w: World) -> None:
    await w.invite("kuro", "cats", expires=int(w.now) - 5)
    await w.invite("shiro", "cats")
    await w.do(c.DisablePeer(w.peer("oven").id))
    await w.do(c.RemovePeer(w.peer("tama").id))
    await w.associate("cats", "ovens")
    switch_on(w)
    families = await scrape(w)
    peers = {sample.labels["state"]: sample.value for sample in families["innerd_peers"].samples}
    assert peers == {"active": 3, "invited": 2, "disabled": 1, "retired": 1}
    open_ = {sample.labels["state"]: sample.value for sample in families["innerd_invitations"].samples}
    assert open_ == {"open": 1, "expired": 1}
    assert value(families, "innerd_event_log_last_sequence") == w.writer.network.revision
    assert value(families, "innerd_event_log_generation") == 1
    assert value(families, "innerd_cidrs") == 5
    assert value(families, "innerd_associations") == 1
    assert value(families, "innerd_events_appended_total", type="peer.disabled") == 1
    assert value(families, "innerd_stream_subscribers") == 0


async def test_requests_are_counted_by_template_method_and_code(w: World) -> None:
    """Never by path: a stranger could make endless series."""
    switch_on(w)
    await ask(w, "ryo", "DELETE", "/v1/admin/peers/4/and/more")
    await ask(w, "ryo", "DELETE", "/v1/admin/peers/0077")
    await ask(w, "mari", "GET", "/v1/user/state")
    await ask(w, "mari", "GET", "/v1/made-up")
    await ask(w, "127.42.9.9", "GET", "/elsewhere")
    families = await scrape(w)
    count = "innerd_http_request_duration_seconds_count"
    template = "/v1/admin/peers/{id}"
    assert value(families, count, route=template, method="DELETE", code="204") == 1
    assert value(families, count, route=template, method="DELETE", code="404") == 1
    assert value(families, count, route="none", method="GET", code="404") == 2
    # ... and what was asked for by name cannot be found anywhere on the page
    assert "made-up" not in str(families)


async def test_bytes_and_handshakes_are_per_peer_and_absent_where_none_were(w: World) -> None:
    w.presence.observe(w.peer("mari").id, Observed(None, 1_790_000_111.5, 1234, 5678))
    w.presence.observe(w.peer("oven").id, Observed(None, None, 1, 2))
    switch_on(w)
    families = await scrape(w)
    assert value(families, "innerd_wireguard_peer_received_bytes_total", peer="mari") == 1234
    assert value(families, "innerd_wireguard_peer_sent_bytes_total", peer="mari") == 5678
    handshake = "innerd_wireguard_peer_last_handshake_timestamp_seconds"
    assert value(families, handshake, peer="mari") == 1_790_000_111.5
    assert [sample.labels for sample in families[handshake].samples] == [{"peer": "mari"}]
    infos = [tuple(sample.labels.items()) for sample in families["innerd_wireguard_peer_info"].samples]
    assert (("peer", "oven"), ("cidr", "ovens")) in infos
    assert len(infos) == 4


async def test_series_per_peer_can_be_switched_off(w: World) -> None:
    switch_on(w, per_peer=False)
    families = await scrape(w)
    assert not [name for name in families if name.startswith("innerd_wireguard_peer_")]
    assert not [s for f in families.values() for s in f.samples if "peer" in s.labels]


async def test_names_units_and_labels_are_as_prometheus_wants_them(w: World) -> None:
    """What `promtool check metrics` would look at."""
    w.presence.observe(w.peer("mari").id, Observed(None, w.now, 1, 2))
    switch_on(w)
    await ask(w, "mari", "GET", "/v1/user/state")
    await w.do(c.DisablePeer(w.peer("oven").id))
    families = await scrape(w)
    for name, family in families.items():
        assert re.fullmatch(r"(innerd|process|python)_[a-z0-9_]+", name)
        assert family.documentation.strip(), name
        assert family.type in ("counter", "gauge", "histogram"), name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            for label, text in sample.labels.items():
                assert re.fullmatch(r"[a-z_]+", label)
                assert re.fullmatch(r"[A-Za-z0-9_.:{}/+-]*", text), (name, label, text)
    assert "innerd_event_append_duration_seconds" in families


async def test_no_key_and_no_endpoint_is_on_the_page(w: World) -> None:
    w.presence.observe(w.peer("mari").id, Observed("203.0.113.9:4000", w.now, 1, 2))
    page = switch_on(w).render().decode()
    assert "203.0.113.9" not in page
    assert not [peer.name for peer in w.writer.network.peers.values() if peer.public_key in page]
    assert str(w.peer("mari").ip) not in page


async def test_a_follower_that_fails_stays_behind_until_it_has_taken_in_an_event(w: World) -> None:
    failing = [True]

    def follower(change: Committed) -> None:
        if failing:
            raise ValueError("a bug")

    began = w.writer.network.revision
    counted = Counted(follower, began)
    switch_on(w, projections={"names": lambda: counted.revision})
    w.writer.feed.follow("names", counted.follow)
    await w.associate("cats", "ovens")
    families = await scrape(w)
    assert value(families, "innerd_projection_last_sequence", projection="names") == began
    assert value(families, "innerd_event_log_last_sequence") == began + 1
    assert value(families, "innerd_projection_errors_total", projection="names") == 1
    failing.clear()
    await w.do(c.DisablePeer(w.peer("oven").id))
    assert value(await scrape(w), "innerd_projection_last_sequence", projection="names") == began + 2


async def test_histograms_count_what_was_observed_at_or_below_each_edge(w: World) -> None:
    """What the library counts, of the same observations."""
    metrics = switch_on(w)
    library = Histogram("innerd_http_request_duration_seconds", "x", ("route", "method", "code"), buckets=_HTTP_BUCKETS)
    for seconds in (0.0, 0.001, 0.0011, 0.05, 0.3, 3.0, 3.1, 99.0):
        w.timings.observe_request("/healthz", "GET", 200, seconds)
        library.labels("/healthz", "GET", "200").observe(seconds)
    [family] = library.collect()
    ours = metrics.render().decode()
    [read] = [f for f in text_string_to_metric_families(ours) if f.name == family.name]
    expected = {(s.name, *sorted(s.labels.items())): s.value for s in family.samples if "_created" not in s.name}
    assert {(s.name, *sorted(s.labels.items())): s.value for s in read.samples} == pytest.approx(expected)


class File:
    """A store of 100 bytes, with 7 in its write-ahead log."""

    busy = 0

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> tuple[int, int]:
        return 100, 7


async def test_the_database_says_its_size_its_last_checkpoint_and_the_room_beside_it(w: World, tmp_path: Path) -> None:
    database = tmp_path / "kermpany.db"
    database.write_bytes(b"x" * 100)
    os.utime(database, (1_790_000_000, 1_790_000_000))
    page = Metrics(w.services, Timings(), {}, per_peer=True, store=File(database)).render().decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert value(families, "innerd_sqlite_database_bytes") == 100
    assert value(families, "innerd_sqlite_wal_bytes") == 7
    assert value(families, "innerd_sqlite_last_checkpoint_timestamp_seconds") == 1_790_000_000
    assert value(families, "innerd_sqlite_disk_free_bytes") > 0


async def test_the_page_says_what_each_part_of_it_took(w: World) -> None:
    switch_on(w)
    took = (await scrape(w))["innerd_metrics_collect_duration_seconds"]
    assert {sample.labels["collector"] for sample in took.samples} == {"network", "requests", "process", "peers"}
