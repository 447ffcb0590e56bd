"""Which edge carries what: the kernel's all that it can, this process the rest. What an edge is given it can lose only
with its table, and is then given again."""

import contextlib
from collections.abc import Iterable

import structlog

from innerd.domain.values import Endpoint
from innerd.relay.kernel import KernelEdge
from innerd.relay.limits import Total
from innerd.relay.table import Drop, Edit, Element, Place, Placed, Put
from innerd.relay.userspace import UserEdge
from innerd.wireguard.device import DeviceError

_log = structlog.get_logger("relay")


class Edges:
    """`why` says what the kernel's is missing for, where it is."""

    def __init__(self, kernel: KernelEdge | None, user: UserEdge) -> None:
        self.kernel, self.user = kernel, user
        self.why: str | None = None
        self._places: dict[int, Place] = {}
        self._to: dict[int, set[Element]] = {}  # what leads to a peer
        self._in_kernel: set[Element] = set()
        self._elements: dict[Element, int] = {}
        self._seen, self._carried = Total(), Total()  # of the kernel's: at the last look, and so far

    @property
    def mode(self) -> str:
        return "userspace" if self.kernel is None else "kernel"

    def apply(self, edits: Iterable[Edit]) -> None:
        """Blocks. What the kernel refuses this process carries."""
        for_kernel: list[Edit] = []
        for_user: list[Edit] = []
        for edit in edits:
            match edit:
                case Put(element, to):
                    self._elements[element] = to
                    self._to.setdefault(to, set()).add(element)
                    if self._is_kernels(element, to):
                        self._in_kernel.add(element)
                        for_kernel.append(edit)
                    else:
                        for_user.append(edit)
                case Drop(element):
                    to_whom = self._elements.pop(element, None)
                    if to_whom is not None:
                        self._to[to_whom].discard(element)
                    (for_kernel if element in self._in_kernel else for_user).append(edit)
                    self._in_kernel.discard(element)
                case Placed(peer, place):
                    for_user.append(edit)
                    self._hand_over(peer, place, for_kernel, for_user)
        self.user.apply(for_user)
        self._tell_kernel(for_kernel)

    def _is_kernels(self, element: Element, to: int) -> bool:
        place = self._places.get(to)
        if self.kernel is None or place is None or to not in self.kernel.placed:
            return False
        return _is_ipv6(place.endpoint) == _is_ipv6(element.source)

    def _hand_over(self, peer: int, place: Place | None, for_kernel: list[Edit], for_user: list[Edit]) -> None:
        """A peer is somewhere else: what leads to it may be the other edge's now."""
        if place is None:
            self._places.pop(peer, None)
            self._to.pop(peer, None)
        else:
            self._places[peer] = place
        if self.kernel is None:
            return
        self._tell_kernel([*for_kernel, Placed(peer, place)])  # first: whether it is placed says whose the rest is
        for_kernel.clear()
        for element in self._to.get(peer, ()):
            is_kernels = self._is_kernels(element, peer)
            if is_kernels == (element in self._in_kernel):
                continue
            gains, loses = (for_kernel, for_user) if is_kernels else (for_user, for_kernel)
            loses.append(Drop(element))
            gains.append(Put(element, peer))
            (self._in_kernel.add if is_kernels else self._in_kernel.discard)(element)

    def _tell_kernel(self, edits: list[Edit]) -> None:
        if self.kernel is None or not edits:
            return
        try:
            self.kernel.apply(edits)
        except FileNotFoundError:
            return  # the table was taken away: whoever watches that gives all of it again
        except (OSError, DeviceError) as error:
            self.give_up(str(error))

    def give_up(self, why: str) -> None:
        """The kernel's edge fails: this process carries all from now on."""
        self.total()
        kernel, self.kernel, self.why = self.kernel, None, why
        _log.error("relaying in user space from now on: slower", why=why)
        if kernel is not None:
            kernel.close()
        self._in_kernel.clear()
        self.user.apply([Put(element, to) for element, to in self._elements.items()])

    def renew(self, peers: Iterable[int]) -> None:
        """The ways to some peers may be others. Blocks."""
        self.apply([Placed(peer, self._places[peer]) for peer in peers if peer in self._places])

    @property
    def placed(self) -> list[int]:
        """The peers of all pairs."""
        return list(self._places)

    def restore(self, everything: Iterable[Edit]) -> None:
        """An edge that lost all of it is given all of it."""
        self._elements, self._in_kernel, self._to, self._places = {}, set(), {}, {}
        self.user.clear()
        self.apply(everything)

    def total(self) -> Total:
        """What both have carried since `begin`, however often the kernel's table was made anew. Blocks."""
        if self.kernel is not None:
            with contextlib.suppress(OSError):
                before, self._seen = self._seen, self.kernel.total()
                self._carried = self._carried + self._seen.since(before)
        return self._carried + self.user.total()

    def begin(self, kernel: KernelEdge) -> None:
        """The kernel's edge is there; what it carried before now was carried for others. Blocks."""
        self.kernel = kernel
        with contextlib.suppress(OSError):
            self._seen = kernel.total()

    def counters(self) -> dict[Element, int]:
        """The bytes that have passed by each element. Blocks."""
        found = self.user.counters()
        if self.kernel is not None:
            try:
                found |= self.kernel.counters()
            except OSError as error:
                _log.warning("the relayed bytes can't be read", why=str(error))
        return found


def _is_ipv6(endpoint: Endpoint) -> bool:
    return endpoint.startswith("[")
