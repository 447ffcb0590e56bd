"""PUT and DELETE of a peer as innernet's clients use them: they put back what they listed (its 10.R5)."""

from typing import Any

import pytest

from innerd.coordinator.presence import Observed
from innerd.domain import commands as c
from innerd.domain.values import Endpoint
from tests.api.asking import Answer, ask, events_after, listed
from tests.world import World

LEARNED, OVERRIDE = "203.0.113.9:4000", "198.51.100.1:51820"


async def put(w: World, who: str, contents: dict[str, Any], **changes: Any) -> Answer:
    return await ask(w, "ryo", "PUT", f"/v1/admin/peers/{w.peer(who).id}", json=contents | changes)


def seen(w: World, name: str, endpoint: str = LEARNED) -> None:
    w.presence.observe(w.peer(name).id, Observed(Endpoint(endpoint), w.now, 0, 0))


async def override(w: World, name: str, endpoint: str) -> None:
    await w.do(c.OverrideEndpoint(w.peer(name).id, Endpoint(endpoint)))


@pytest.mark.parametrize("name", ["mari", "ryo", "oven", "innernet-server"])
@pytest.mark.parametrize("how", ["nothing", "learned", "override", "override and learned", "unspecified and learned"])
async def test_what_was_listed_is_put_back_without_a_trace(w: World, name: str, how: str) -> None:
    if "learned" in how:
        seen(w, name)
        w.presence.report_candidates(w.peer(name).id, (Endpoint("192.168.1.7:51820"),))
    if "override" in how:
        await override(w, name, OVERRIDE)
    if "unspecified" in how and name != "innernet-server":
        await override(w, name, "0.0.0.0:777")
    before = w.writer.network
    answer = await put(w, name, await listed(w, name))
    assert (answer.status, answer.body) == (204, b"")
    assert w.writer.network is before


async def test_a_learned_endpoint_that_moved_on_between_list_and_put_stays_out_of_the_log(w: World) -> None:
    seen(w, "mari")
    contents = await listed(w, "mari")
    seen(w, "mari", "203.0.113.10:4001")
    before = w.writer.network
    assert (await put(w, "mari", contents)).status == 204
    assert w.writer.network is before


async def test_a_rename_through_innernets_client_is_only_a_rename(w: World) -> None:
    seen(w, "mari")
    revision = w.writer.network.revision
    assert (await put(w, "mari", await listed(w, "mari"), name="mary")).status == 204
    assert events_after(w, revision) == ["peer.renamed"]
    assert w.peer("mary").endpoint is None


async def test_an_endpoint_of_the_admins_own_is_an_override(w: World) -> None:
    seen(w, "mari")
    assert (await put(w, "mari", await listed(w, "mari"), endpoint=OVERRIDE)).status == 204
    assert w.peer("mari").endpoint == OVERRIDE


@pytest.mark.parametrize("way", ["null", "left out"])
async def test_an_endpoint_that_is_missing_is_cleared(w: World, way: str) -> None:
    await override(w, "mari", OVERRIDE)
    contents = await listed(w, "mari") | {"endpoint": None}
    if way == "left out":
        del contents["endpoint"]
    assert (await put(w, "mari", contents)).status == 204
    assert w.peer("mari").endpoint is None


async def test_the_coordinator_never_loses_its_endpoint(w: World) -> None:
    was = w.writer.network.coordinator.endpoint
    assert (await put(w, "innernet-server", await listed(w, "innernet-server"), endpoint=None)).status == 204
    assert w.writer.network.coordinator.endpoint == was


async def test_only_name_endpoint_admin_and_disabled_are_applied(w: World) -> None:
    before = w.peer("mari")
    others = {"ip": "127.42.3.99", "cidr_id": w.cidr_id("cats"), "public_key": "x", "is_redeemed": False}
    others |= {"persistent_keepalive_interval": 1, "invite_expires": {"secs_since_epoch": 1, "nanos_since_epoch": 0}}
    assert (await put(w, "mari", await listed(w, "mari"), **others)).status == 204
    assert w.peer("mari") == before


async def test_several_changes_at_once_are_one_command(w: World) -> None:
    revision = w.writer.network.revision
    contents = await listed(w, "mari")
    answer = await put(w, "mari", contents, name="mary", is_admin=True, is_disabled=True, endpoint=OVERRIDE)
    assert answer.status == 204
    appended = events_after(w, revision)
    assert sorted(appended) == ["endpoint.overridden", "peer.admin_granted", "peer.disabled", "peer.renamed"]


async def test_of_several_changes_one_refused_refuses_all(w: World) -> None:
    before = w.writer.network
    assert (await put(w, "mari", await listed(w, "mari"), name="ryo", is_admin=True)).code == "name_taken"
    assert w.writer.network is before


@pytest.mark.parametrize("changes", [{"is_disabled": True}, {"is_admin": False}, {"name": "other"}], ids=str)
async def test_nobody_disables_demotes_or_renames_the_coordinator(w: World, changes: dict[str, Any]) -> None:
    answer = await put(w, "innernet-server", await listed(w, "innernet-server"), **changes)
    assert (answer.status, answer.code) == (400, "coordinator_protected")


async def test_delete_disables_and_the_row_stays(w: World) -> None:
    number, revision = w.peer("tama").id, w.writer.network.revision
    assert (await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{number}")).status == 204
    assert events_after(w, revision) == ["peer.disabled"]
    assert (await listed(w, "tama"))["is_disabled"] is True
    assert (await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{number}")).status == 204
    assert events_after(w, revision) == ["peer.disabled"], "again is already so"


async def test_a_disabled_peer_is_enabled_again_by_a_put(w: World) -> None:
    await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{w.peer('tama').id}")
    assert (await ask(w, "tama", "GET", "/v1/user/state")).status == 401
    assert (await put(w, "tama", await listed(w, "tama"), is_disabled=False)).status == 204
    assert (await ask(w, "tama", "GET", "/v1/user/state")).status == 200
