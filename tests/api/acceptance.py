"""The fixture of innernet's own server tests, over IPv4 and IPv6, as its cases (T2 to T34) speak of it."""

from typing import Any, NamedTuple

from innerd.coordinator.presence import Observed
from tests.api.asking import Answer, ask
from tests.world import World, key, world


class Places(NamedTuple):
    """The same network in one address family."""

    root: str
    admin_cidr: str
    developer_cidr: str
    user_cidr: str
    experimental: str
    experimental_sub: str
    inside_developer: str  # a range inside the developers'
    free: str  # a range that is free
    free_too: str
    over_admin: str  # a range with the admins' in it
    admin: str
    developer1: str
    developer2: str
    user1: str
    user2: str
    experiment_peer: str
    next_developer: str
    unassignable: tuple[str, ...]  # for a developer
    stranger: str


V4 = Places(
    root="10.80.0.0/15",
    admin_cidr="10.80.1.0/24",
    developer_cidr="10.80.64.0/24",
    user_cidr="10.80.128.0/17",
    experimental="10.81.0.0/16",
    experimental_sub="10.81.0.0/17",
    inside_developer="10.80.64.128/25",
    free="10.80.2.0/24",
    free_too="10.80.3.0/24",
    over_admin="10.80.1.0/21",
    admin="10.80.1.1",
    developer1="10.80.64.2",
    developer2="10.80.64.3",
    user1="10.80.128.2",
    user2="10.80.129.2",
    experiment_peer="10.81.0.1",
    next_developer="10.80.64.4",
    unassignable=("10.80.64.0", "10.80.64.255", "10.80.65.4"),
    stranger="10.80.80.80",
)
V6 = Places(
    root="fd00:1337::/64",
    admin_cidr="fd00:1337::1:0:0:0/80",
    developer_cidr="fd00:1337::2:0:0:0/80",
    user_cidr="fd00:1337::3:0:0:0/80",
    experimental="fd00:1337:0:0:4::/80",
    experimental_sub="fd00:1337::4:0:0:0/81",
    inside_developer="fd00:1337::2:0:1:0/112",
    free="fd00:1337::5:0:0:0/80",
    free_too="fd00:1337::6:0:0:0/80",
    over_admin="fd00:1337::1:0:0:0/79",
    admin="fd00:1337::1:0:0:1",
    developer1="fd00:1337::2:0:0:2",
    developer2="fd00:1337::2:0:0:3",
    user1="fd00:1337::3:0:0:2",
    user2="fd00:1337::3:0:0:3",
    experiment_peer="fd00:1337::4:0:0:1",
    next_developer="fd00:1337::2:0:0:4",
    unassignable=("fd00:1337::2:0:0:0", "fd00:1337::3:0:0:9"),
    stranger="fd00:1337::9:0:0:9",
)
LEARNED = {"developer1": "169.10.26.8:14720", "developer2": "169.55.140.9:5833"}


class Net(NamedTuple):
    w: World
    at: Places

    async def ask(self, who: str, method: str, target: str, json: Any = None, **more: Any) -> Answer:
        return await ask(self.w, who, method, target, json=json, **more)

    async def add_cidr(self, name: str, block: str, parent: int | None = 1) -> Answer:
        return await self.ask("admin", "POST", "/v1/admin/cidrs", {"name": name, "cidr": block, "parent": parent})

    async def add_peer(self, **changes: Any) -> Answer:
        return await self.ask("admin", "POST", "/v1/admin/peers", self.developer3(**changes))

    async def associate(self, one: int, other: int) -> Answer:
        pair = {"cidr_id_1": one, "cidr_id_2": other}
        return await self.ask("admin", "POST", "/v1/admin/associations", pair)

    def developer3(self, **changes: Any) -> dict[str, Any]:
        return {
            "name": "developer3",
            "ip": self.at.next_developer,
            "cidr_id": 4,
            "public_key": key("developer3"),
            "endpoint": None,
            "persistent_keepalive_interval": None,
            "is_admin": False,
            "is_disabled": False,
            "is_redeemed": True,
            "invite_expires": None,
            "candidates": [],
        } | changes

    async def names(self, who: str) -> set[str]:
        answer = await self.ask(who, "GET", "/v1/user/state")
        assert answer.status == 200
        return {peer["name"] for peer in answer.json()["peers"]}


async def build(at: Places) -> Net:
    w = await world(at.root)
    for name, block in (("admin", at.admin_cidr), ("developer", at.developer_cidr), ("user", at.user_cidr)):
        await w.add_cidr(name, block)
    await w.join("admin", "admin", ip=at.admin, admin=True)
    for name in ("developer1", "developer2"):
        await w.join(name, "developer", ip=getattr(at, name))
    for name in ("user1", "user2"):
        await w.join(name, "user", ip=getattr(at, name))
    for name, endpoint in LEARNED.items():
        w.presence.observe(w.peer(name).id, Observed(endpoint, w.now, 0, 0))
    return Net(w, at)
