"""What the shapes on the wire need to know of soft state: a protocol, so that they need not know who holds it."""

from collections.abc import Mapping
from typing import Protocol

from innerd.domain.values import Endpoint


class SoftState(Protocol):
    """Of a peer, by id: where it was seen, where it may be reached, and what it has applied. `software` is what
    each says that it runs."""

    @property
    def software(self) -> Mapping[int, str]: ...

    def learned(self, peer: int) -> Endpoint | None: ...

    def shown_endpoint(self, peer: int, override: Endpoint | None) -> Endpoint | None: ...

    def shown_candidates(self, peer: int, shown: Endpoint | None) -> tuple[Endpoint, ...]: ...

    def is_online(self, peer: int, now: float) -> bool: ...

    def handshake(self, peer: int) -> float | None: ...

    def applied(self, peer: int) -> int | None: ...
