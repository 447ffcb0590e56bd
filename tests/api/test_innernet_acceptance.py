"""innernet's own server tests as cases (T2 to T34 of its behaviour, section 7), over IPv4 and IPv6."""

import pytest

from tests.api.acceptance import LEARNED, Net
from tests.world import key

STATE = "/v1/user/state"
PEERS = "/v1/admin/peers"


# -- session ---------------------------------------------------------------------------------------------------


async def test_t2_spoofed_forwarding_headers_without_a_key_are_401(net: Net) -> None:
    spoofed = [("Forwarded", f"for={net.at.admin}"), ("X-Forwarded-For", net.at.admin), ("X-Real-IP", net.at.admin)]
    assert (await net.ask(net.at.stranger, "GET", PEERS, headers=spoofed, server_key=None)).status == 401


@pytest.mark.parametrize("server_key", [key("wrong"), "not a key", key("coordinator")], ids=["T3", "T4", "T5"])
async def test_t3_t4_t5_an_unknown_address_is_401_whatever_key_it_shows(net: Net, server_key: str) -> None:
    assert (await net.ask(net.at.stranger, "GET", STATE, server_key=server_key)).status == 401
    assert (await net.ask("user1", "GET", STATE)).status == 200


# -- CIDRs -----------------------------------------------------------------------------------------------------


async def test_t6_an_admin_creates_a_cidr(net: Net) -> None:
    answer = await net.add_cidr("experimental", net.at.experimental)
    assert answer.status == 201
    assert answer.json() == {"id": 6, "name": "experimental", "cidr": net.at.experimental, "parent": 1}
    assert len((await net.ask("admin", "GET", "/v1/admin/cidrs")).json()) == 6


async def test_t7_a_second_cidr_of_the_same_name_is_refused(net: Net) -> None:
    assert (await net.add_cidr("experimental", net.at.experimental)).status == 201
    assert (await net.add_cidr("experimental", net.at.free)).status == 400


async def test_t8_a_user_creates_no_cidr(net: Net) -> None:
    wanted = {"name": "experimental", "cidr": net.at.experimental, "parent": 1}
    assert (await net.ask("user1", "POST", "/v1/admin/cidrs", wanted)).status == 401
    assert net.w.writer.network.cidr_named("experimental") is None


async def test_t9_a_range_inside_a_closer_cidr_is_not_the_roots_child(net: Net) -> None:
    assert (await net.add_cidr("interns", net.at.inside_developer, parent=1)).status == 400
    assert (await net.add_cidr("interns", net.at.inside_developer, parent=4)).status == 201


async def test_t10_a_range_that_overlaps_a_sibling_is_400(net: Net) -> None:
    assert (await net.add_cidr("experimental", net.at.over_admin)).status == 400


async def test_t11_a_parent_is_deleted_only_after_its_child(net: Net) -> None:
    await net.add_cidr("experimental", net.at.experimental)
    await net.add_cidr("sub", net.at.experimental_sub, parent=6)
    statuses = [(await net.ask("admin", "DELETE", f"/v1/admin/cidrs/{n}")).status for n in (6, 7, 6)]
    assert statuses == [400, 204, 204]
    assert set(net.w.writer.network.cidrs) == {1, 2, 3, 4, 5}


async def test_t12_a_cidr_that_holds_a_peer_is_not_deleted(net: Net) -> None:
    await net.add_cidr("experimental", net.at.experimental)
    await net.w.join("experiment-peer", "experimental", ip=net.at.experiment_peer)
    assert (await net.ask("admin", "DELETE", "/v1/admin/cidrs/6")).status == 400


# -- peers -----------------------------------------------------------------------------------------------------


async def test_t13_an_admin_creates_a_peer(net: Net) -> None:
    answer = await net.add_peer()
    assert answer.status == 201
    assert answer.json() == {"id": 7} | net.developer3()
    assert len((await net.ask("admin", "GET", PEERS)).json()) == 7


@pytest.mark.parametrize(
    "changes",
    [{"name": "developer 3"}, {"name": "developer2"}, {"ip": "developer2"}],
    ids=["T14 a name with a space", "T15 a duplicate name", "T16 a duplicate address"],
)
async def test_t14_t15_t16_a_peer_that_clashes_is_400(net: Net, changes: dict[str, str]) -> None:
    if "ip" in changes:
        changes = {"ip": net.at.developer2}
    assert (await net.add_peer(**changes)).status == 400
    assert len((await net.ask("admin", "GET", PEERS)).json()) == 6


async def test_t17_an_address_outside_the_cidr_or_not_assignable_is_400(net: Net) -> None:
    for address in net.at.unassignable:
        assert (address, (await net.add_peer(ip=address)).status) == (address, 400)
    assert (await net.add_peer()).status == 201


async def test_t18_a_user_creates_no_peer(net: Net) -> None:
    assert (await net.ask("user1", "POST", PEERS, net.developer3())).status == 401
    assert net.w.writer.network.peer_named("developer3") is None


async def test_t19_t20_an_admin_renames_a_peer_and_a_user_does_not(net: Net) -> None:
    number = net.w.peer("developer1").id
    (contents,) = [p for p in (await net.ask("admin", "GET", PEERS)).json() if p["id"] == number]
    contents = {field: value for field, value in contents.items() if field != "id"} | {"name": "new-name"}
    assert (await net.ask("user1", "PUT", f"{PEERS}/{number}", contents)).status == 401
    assert net.w.writer.network.peers[number].name == "developer1"
    assert (await net.ask("admin", "PUT", f"{PEERS}/{number}", contents)).status == 204
    assert net.w.writer.network.peers[number].name == "new-name"


async def test_t21_t22_an_admin_lists_all_by_id_and_a_user_nothing(net: Net) -> None:
    names = [peer["name"] for peer in (await net.ask("admin", "GET", PEERS)).json()]
    assert names == ["innernet-server", "admin", "developer1", "developer2", "user1", "user2"]
    assert (await net.ask("user1", "GET", PEERS)).status == 401


async def test_t23_t24_delete_disables_for_an_admin_only(net: Net) -> None:
    target = f"{PEERS}/{net.w.peer('developer1').id}"
    assert (await net.ask("user1", "DELETE", target)).status == 401
    assert not net.w.peer("developer1").is_disabled
    assert (await net.ask("admin", "DELETE", target)).status == 204
    enabled = [peer for peer in (await net.ask("admin", "GET", PEERS)).json() if not peer["is_disabled"]]
    assert len(enabled) == 5


async def test_t25_deleting_an_unknown_peer_is_404(net: Net) -> None:
    assert (await net.ask("admin", "DELETE", f"{PEERS}/77")).status == 404


# -- associations ----------------------------------------------------------------------------------------------


async def test_t26_an_association_exists_once_in_either_order(net: Net) -> None:
    statuses = [(await net.associate(*pair)).status for pair in ((1, 2), (1, 2), (2, 1))]
    assert statuses == [201, 400, 400]


async def test_t27_both_ends_must_exist(net: Net) -> None:
    assert (await net.associate(4, 6)).status == 400
    await net.add_cidr("experimental", net.at.experimental)
    assert (await net.associate(4, 6)).status == 201


# -- users -----------------------------------------------------------------------------------------------------


async def test_t28_the_state_of_a_developer(net: Net) -> None:
    assert await net.names("developer1") == {"developer1", "developer2", "innernet-server"}


async def test_t29_an_override_is_set_and_unset(net: Net) -> None:
    target = "/v1/user/endpoint"
    answer = await net.ask("developer1", "PUT", target, {"option": "Set", "content": "1.1.1.1:51820"})
    assert (answer.status, net.w.peer("developer1").endpoint) == (204, "1.1.1.1:51820")
    answer = await net.ask("developer1", "PUT", target, {"option": "Unset"})
    assert (answer.status, net.w.peer("developer1").endpoint) == (204, None)
    assert (await net.ask("developer1", "PUT", target, "1.1.1.1:51820")).status == 400


async def test_t30_an_association_with_a_parent_holds_for_its_child(net: Net) -> None:
    await net.add_cidr("experimental", net.at.experimental)
    await net.add_cidr("sub", net.at.experimental_sub, parent=6)
    await net.w.join("experiment-peer", "sub", ip=net.at.experiment_peer)
    await net.associate(4, 6)
    await net.associate(2, 6)
    everyone = {"developer1", "developer2", "experiment-peer", "innernet-server"}
    assert await net.names("developer1") == everyone
    assert await net.names("experiment-peer") == everyone


async def test_t31_an_invitee_redeems_once_and_then_has_a_state(net: Net) -> None:
    await net.w.invite("experiment-peer", "user")
    redeem = ("experiment-peer", "POST", "/v1/user/redeem")
    assert (await net.ask("experiment-peer", "GET", STATE)).status == 401
    assert (await net.ask(*redeem, {"public_key": key("own")})).status == 204
    assert (await net.ask(*redeem, {"public_key": key("other")})).status == 401
    assert (await net.ask("experiment-peer", "GET", STATE)).status == 200


async def test_t32_an_expired_invitation_is_401(net: Net) -> None:
    await net.w.invite("experiment-peer", "user", expires=int(net.w.now) - 1)
    assert (await net.ask("experiment-peer", "GET", STATE)).status == 401
    answer = await net.ask("experiment-peer", "POST", "/v1/user/redeem", {"public_key": key("own")})
    assert answer.status == 401


async def test_t33_candidates_are_reported(net: Net) -> None:
    assert (await net.ask("developer1", "PUT", "/v1/user/candidates", ["1.1.1.1:51820"])).status == 204
    (seen,) = [p for p in (await net.ask("developer2", "GET", STATE)).json()["peers"] if p["name"] == "developer1"]
    assert seen["candidates"] == ["1.1.1.1:51820"]


async def test_t34_the_learned_endpoint_joins_the_candidates_behind_an_override(net: Net) -> None:
    async def seen() -> tuple[str, list[str]]:
        peers = (await net.ask("developer2", "GET", STATE)).json()["peers"]
        (found,) = [peer for peer in peers if peer["name"] == "developer1"]
        return found["endpoint"], found["candidates"]

    await net.ask("developer1", "PUT", "/v1/user/candidates", ["1.1.1.1:51820"])
    assert await seen() == (LEARNED["developer1"], ["1.1.1.1:51820"])
    await net.ask("developer1", "PUT", "/v1/user/endpoint", {"option": "Set", "content": "1.2.3.4:51820"})
    assert await seen() == ("1.2.3.4:51820", ["1.1.1.1:51820", LEARNED["developer1"]])
