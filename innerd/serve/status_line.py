"""How a coordinator is: what is wrong with it, for `innerd status`, `innerd doctor` and the metrics, and the one line
that `systemctl status` shows."""

from collections.abc import Iterator

from innerd.coordinator.device_sync import DeviceSync
from innerd.coordinator.presence import Presence
from innerd.coordinator.writer import Writer
from innerd.serve.clock import Clock
from innerd.streaming.hub import Hub
from innerd.wire.ours import Trouble

_SAID = {
    "log": "THE LOG CAN'T BE WRITTEN, nothing can be changed: ",
    "device": "THE DEVICE IS NOT AS IT SHOULD BE: ",
    "clock": "THE CLOCK CAN'T BE BELIEVED: ",
    "rewound": "THE LOG WAS REWOUND: ",
    "twins": "A KEY IS ON TWO MACHINES: ",
    "dns": "DNS IS NOT SERVED: ",
    "relay": "NOTHING IS RELAYED: ",
    "hosts": "THE HOSTS FILE IS NOT AS IT SHOULD BE: ",
}
_NAMED = 5  # peers


def headline(writer: Writer, presence: Presence, troubles: list[Trouble]) -> str:
    active = sum(len(held) for held in writer.view.members.values()) - 1  # but the coordinator
    well = f"revision {writer.network.revision}, {len(presence.streaming)} of {active} peers hold a stream"
    return "; ".join((well, *(_SAID[trouble.kind] + trouble.text for trouble in troubles)))


def troubles(
    writer: Writer, clock: Clock, hub: Hub, presence: Presence, sync: DeviceSync | None = None
) -> Iterator[Trouble]:
    """What is wrong, the worst first. `sync`: where there is a device."""
    upkeep = writer.upkeep
    if upkeep.trouble is not None:
        code = "log_corrupt" if upkeep.is_damaged else "store_unavailable"
        yield Trouble(kind="log", code=code, text=upkeep.trouble, hint=upkeep.help)
    if hub.ahead.cursors:
        yield _rewound(writer, hub)
    if sync is not None and sync.trouble is not None:
        yield Trouble(kind="device", code="device_failed", text=sync.trouble, hint="see the coordinator's log")
    if clock.trouble is not None:
        hint = "set the clock right (chrony); until then no invitation ends for good"
        yield Trouble(kind="clock", code="clock_set", text=clock.trouble, hint=hint)
    yield from _twins(writer, presence)


def _twins(writer: Writer, presence: Presence) -> Iterator[Trouble]:
    """Peers whose key is on two machines."""
    for number, endpoints in presence.all_twins().items():
        peer = writer.network.peers.get(number)
        if peer is not None:
            text = f"{peer.name} is seen at {' and '.join(endpoints)} in turns: two machines have its key"
            hint = (
                "give one a peer of its own (inn uninstall there, innerd add-peer); disable it if the copy is a thief's"
            )
            yield Trouble(kind="twins", code="key_shared", text=text, hint=hint)


def _rewound(writer: Writer, hub: Hub) -> Trouble:
    peers, seen = writer.network.peers, hub.ahead.cursors
    names = [f"{peers[number].name} ({cursor})" for number, cursor in seen.items() if number in peers]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    ends = f"{writer.network.generation}.{writer.network.revision}"
    text = f"it ends at {ends}, but {', '.join(names[:_NAMED])}{more} say that they have seen more"
    hint = "look for the log that they saw; else restore a backup, which begins another generation (docs/backup.md)"
    return Trouble(kind="rewound", code="log_rewound", text=text, hint=hint)
