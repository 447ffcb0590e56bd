"""What a relay does, as it is told: the coordinator's, and that of a peer which relays. It loads nothing else."""

from msgspec import Struct


class Relaying(Struct, kw_only=True):
    """`mode` is kernel, userspace or off; `why` says why it is not in the kernel, or not on. `held` are packets that
    were above a limit, `refused` handshakes that were sent on to nobody."""

    mode: str
    why: str | None = None
    pairs: int = 0
    packets: int = 0
    bytes: int = 0
    handshakes: int = 0
    held: int = 0
    refused: int = 0
