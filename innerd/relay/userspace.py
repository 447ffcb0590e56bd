"""The edge in this process: data that the kernel's does not carry (there is none, or two peers speak different IPs).
Pure: what comes is looked up here, `relay` has the sockets."""

from collections.abc import Iterable

from innerd.domain.bucket import Bucket
from innerd.domain.values import Endpoint
from innerd.relay.limits import Limits, Total, burst_of
from innerd.relay.table import Drop, Edit, Element, Place, Placed, Put


class UserEdge:
    def __init__(self, limits: Limits) -> None:
        self._elements: dict[Element, int] = {}
        self._passed: dict[Element, int] = {}
        self._places: dict[int, Place] = {}
        self._limits = limits
        self._each: dict[Endpoint, Bucket] = {}
        self._total = _bucket(limits.total)
        self._packets = self._bytes = self._held = 0

    @property
    def is_idle(self) -> bool:
        return not self._elements

    def apply(self, edits: Iterable[Edit]) -> None:
        for edit in edits:
            match edit:
                case Put(element, _, to):
                    self._elements[element] = to
                    self._passed.setdefault(element, 0)
                case Drop(element):
                    self._elements.pop(element, None)
                    self._passed.pop(element, None)
                    self._each.pop(element.source, None)
                case Placed(peer, None):
                    self._places.pop(peer, None)
                case Placed(peer, place) if place is not None:
                    self._places[peer] = place

    def clear(self) -> None:
        """Let go of all; what it has carried stays counted."""
        self._elements, self._places, self._passed, self._each = {}, {}, {}, {}

    def to(self, source: Endpoint, index: bytes, size: int, now: float) -> Place | None:
        """Where data goes that came from an endpoint under an index; None where it is not carried, or held back."""
        element = Element(source, index)
        peer = self._elements.get(element)
        place = None if peer is None else self._places.get(peer)
        if place is None or not self._may_pass(source, size, now):
            return None
        self._passed[element] += size
        self._packets += 1
        self._bytes += size
        return place

    def _may_pass(self, source: Endpoint, size: int, now: float) -> bool:
        if self._limits.per_peer is not None:
            each = self._each.get(source)
            if each is None:
                each = self._each[source] = _bucket(self._limits.per_peer)
            if not each.take(size, now):
                self._held += 1
                return False
        if self._limits.total is not None and not self._total.take(size, now):
            self._held += 1
            return False
        return True

    def total(self) -> Total:
        return Total(self._packets, self._bytes, self._held)

    def counters(self) -> dict[Element, int]:
        """The bytes that have passed by each element."""
        return dict(self._passed)


def _bucket(limit: int | None) -> Bucket:
    return Bucket(float(limit or 0), burst_of(limit or 0))
