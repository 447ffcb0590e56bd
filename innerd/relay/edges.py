"""Which edge carries what: the kernel's all that it can, this process the rest. What an edge is given it can lose only
with its table, and is then given again."""

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

    def __init__(self, user: UserEdge) -> None:
        self.kernel: KernelEdge | None = None
        self.user = user
        self.why: str | None = None
        self._places: dict[int, Place] = {}
        self._of: dict[int, set[Element]] = {}  # what leads to a peer, or from it
        self._in_kernel: set[Element] = set()
        self._elements: dict[Element, tuple[int, int]] = {}  # from whom to whom
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
                case Put(element, sender, to):
                    self._elements[element] = sender, to
                    for peer in (sender, to):
                        self._of.setdefault(peer, set()).add(element)
                    is_kernels = self._is_kernels(element)
                    (for_kernel if is_kernels else for_user).append(edit)
                    if is_kernels:
                        self._in_kernel.add(element)
                case Drop(element):
                    for peer in self._elements.pop(element, ()):
                        self._of[peer].discard(element)
                    (for_kernel if element in self._in_kernel else for_user).append(edit)
                    self._in_kernel.discard(element)
                case Placed(peer, place):
                    for_user.append(edit)
                    self._hand_over(peer, place, for_kernel, for_user)
        self.user.apply(for_user)
        self._tell_kernel(for_kernel)

    def _is_kernels(self, element: Element) -> bool:
        """Whether both ends are reached over links that it listens on, by one version of IP."""
        ends = self._elements[element]
        if self.kernel is None or not all(peer in self.kernel.placed for peer in ends):
            return False
        return _is_ipv6(self._places[ends[1]].endpoint) == _is_ipv6(element.source)

    def _hand_over(self, peer: int, place: Place | None, for_kernel: list[Edit], for_user: list[Edit]) -> None:
        """A peer is somewhere else: what leads to it, or from it, may be the other edge's now."""
        if place is None:
            self._places.pop(peer, None)
            self._of.pop(peer, None)
        else:
            self._places[peer] = place
        if self.kernel is None:
            return
        self._tell_kernel([*for_kernel, Placed(peer, place)])  # first: whether it is placed says whose the rest is
        for_kernel.clear()
        for element in self._of.get(peer, ()):
            is_kernels = self._is_kernels(element)
            if is_kernels == (element in self._in_kernel):
                continue
            gains, loses = (for_kernel, for_user) if is_kernels else (for_user, for_kernel)
            loses.append(Drop(element))
            gains.append(Put(element, *self._elements[element]))
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
        """The kernel's edge fails: this process carries all from now on. What the kernel has goes, as nobody would take
        back any more what it carries."""
        kernel, self.kernel, self.why = self.kernel, None, why
        _log.error("relaying in user space from now on: slower", why=why)
        if kernel is not None:
            kernel.abandon()
        self._in_kernel.clear()
        self.user.apply([Put(element, *ends) for element, ends in self._elements.items()])

    def renew(self, peers: Iterable[int]) -> None:
        """The ways to some peers may be others. Blocks."""
        self.apply([Placed(peer, self._places[peer]) for peer in peers if peer in self._places])

    @property
    def placed(self) -> list[int]:
        """The peers of all pairs."""
        return list(self._places)

    def restore(self, everything: Iterable[Edit]) -> None:
        """An edge that lost all of it is given all of it."""
        self._elements, self._in_kernel, self._of, self._places = {}, set(), {}, {}
        self.user.clear()
        self.apply(everything)

    def begin(self, kernel: KernelEdge, seen: Total) -> None:
        """The kernel's edge is there; what it carried before now was carried for others."""
        self.kernel, self.why, self._seen = kernel, None, seen

    def total(self, kernels: Total | None) -> Total:
        """What both have carried since they began, however often the kernel's table was made anew."""
        if kernels is not None:
            before, self._seen = self._seen, kernels
            self._carried = self._carried + kernels.since(before)
        return self._carried + self.user.total()


def _is_ipv6(endpoint: Endpoint) -> bool:
    return endpoint.startswith("[")
