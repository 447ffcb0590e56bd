"""What the routes work with. Built once, by the composition root; in-process use has no device and no streams."""

import time
from collections.abc import Awaitable, Callable

from msgspec import Struct, field

from innerd.api.sources import Sources
from innerd.coordinator.configs import Configs
from innerd.coordinator.history import History
from innerd.coordinator.presence import Presence
from innerd.coordinator.writer import Writer
from innerd.domain.network import Peer
from innerd.domain.values import Address, PublicKey
from innerd.streaming.convergence import Convergence
from innerd.streaming.hub import Hub
from innerd.wire.ours import Trouble
from innerd.wire.reach import RelayStatus


async def _no_device(revision: int) -> None:
    """There is no device to wait for."""


async def _no_metrics() -> bytes:
    """Nothing is counted."""
    return b""


async def _no_relay(*, with_pairs: bool = False) -> RelayStatus | None:
    """There is nothing to relay with."""
    return None


class Services(Struct, frozen=True, kw_only=True):
    writer: Writer
    history: History
    presence: Presence
    hub: Hub
    convergence: Convergence
    configs: Configs
    server_key: PublicKey
    internal_endpoint: str  # address:port in the tunnel, and what the Host header must say
    suffix: str = "wg"
    tcp: int | None = None  # the port to which peers may come by TCP
    is_serving: bool = False
    proof_required: bool = True
    shared_secret: Callable[[PublicKey], bytes] = lambda key: b""
    settle: Callable[[int], Awaitable[None]] = _no_device
    is_redeeming: Callable[[Peer], bool] = lambda peer: False
    may_read_metrics: Callable[[Peer], bool] = lambda peer: peer.is_admin
    render_metrics: Callable[[], Awaitable[bytes]] = _no_metrics
    observe_request: Callable[[str, str, int, float], None] = lambda route, method, code, seconds: None
    own_address: Address | None = None
    sources: Sources = field(default_factory=Sources)
    device_errors: Callable[[], int] = lambda: 0
    troubles: Callable[[], list[Trouble]] = list
    relay_status: Callable[..., Awaitable[RelayStatus | None]] = _no_relay
    started: float = field(default_factory=time.time)
    clock: Callable[[], float] = time.time
