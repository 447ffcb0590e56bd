"""What is done aside: the disk, then the receipt. Pure.

A receipt is a promise that outlives a crash: who was let go of does not come back with the old memory. So what is
written down is what the device matches, and what is reported is what is written down. A disk that refuses gets no
promise until it takes it. One thing is under way at a time.
"""

from innclient.core import commands as c
from innclient.core.commands import Command
from innclient.core.membership import Membership
from innclient.core.netmap import Netmap

_AGAIN = 1.0  # seconds until a receipt that got lost is sent again


class Memory:
    """`saved`: when the netmap was written down last (seconds since 1970)."""

    def __init__(self, membership: Membership, saved: float | None) -> None:
        self.saved = saved
        self._membership = membership
        self._is_busy = False
        self._on_disk = membership.matched
        self._changed: set[int] | None = None  # peers that may be others than on the disk; None: all
        self._signed_on_disk = membership.witnessed

    def matched(self, peers: set[int] | None) -> None:
        """The device matches what was told, of some peers (None: of all)."""
        self._membership.matched = self._membership.netmap
        self._changed = None if peers is None or self._changed is None else self._changed | peers

    def next(self, *, connected: bool, after: float = 0.0) -> list[Command]:
        """What is left to be written or said, if nothing of it is under way."""
        if self._is_busy:
            return []
        matched, commands = self._membership.matched, self.checkpoints()
        if matched is not self._on_disk:
            changed, self._changed, self._is_busy = self._changed, set(), True
            return [*commands, c.WriteState(matched, self._on_disk, changed)]
        receipt = self._membership.receipt() if connected else None
        if receipt is not None:
            self._is_busy = True
            commands.append(c.Report(receipt, after))
        return commands

    def checkpoints(self) -> list[Command]:
        """What the coordinator signed, where that is not written down."""
        witnessed = self._membership.witnessed
        if witnessed is self._signed_on_disk:
            return []
        self._signed_on_disk = witnessed
        return [c.WriteCheckpoints(witnessed)]

    def written(self, netmap: Netmap, now: float, *, is_kept: bool, connected: bool) -> list[Command]:
        self._is_busy = False
        if not is_kept:
            self._changed = None
            return []  # a later tick tries it
        self._on_disk, self.saved = netmap, now
        return self.next(connected=connected)

    def reported(self, *, is_heard: bool, connected: bool, again: bool) -> list[Command]:
        self._is_busy = False
        if is_heard:
            return self.next(connected=connected)
        self._membership.applied = None
        return self.next(connected=connected, after=_AGAIN) if again else []
