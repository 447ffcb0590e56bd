"""How a coordinator is, in the one line that `systemctl status` shows; and a log that could not be written is
tried again."""

import asyncio

from innerd.coordinator.device_sync import DeviceSync
from innerd.coordinator.writer import Writer
from innerd.presence import Presence

_TRIES = 10.0  # seconds between tries to write


async def keep_trying(writer: Writer) -> None:
    """Until cancelled: who waits for the disk should not have to change something to learn that it is well again."""
    while True:
        await asyncio.sleep(_TRIES)
        await writer.try_again()


def headline(writer: Writer, presence: Presence, sync: DeviceSync) -> str:
    active = sum(len(held) for held in writer.view.members.values()) - 1  # but the coordinator
    parts = [f"revision {writer.network.revision}, {len(presence.streaming)} of {active} peers hold a stream"]
    if writer.trouble is not None:
        parts.append(f"THE LOG CAN'T BE WRITTEN, nothing can be changed: {writer.trouble}")
    if sync.trouble is not None:
        parts.append(f"THE DEVICE IS NOT AS IT SHOULD BE: {sync.trouble}")
    return "; ".join(parts)
