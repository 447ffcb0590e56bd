"""A probe between peers: only what was made with the key is one, and it says what was made."""

from innerd.wire import probe
from innerd.wire.probe import PING, PONG, Probe

_KEY = probe.probe_key(b"\1" * 32)

SEEDS = [
    probe.encode(Probe(PING, 7, 3, 1 << 63), _KEY),
    probe.encode(Probe(PONG, 2**32 - 1, 0, 0), _KEY),
    probe.encode(Probe(PING, 7, 3, 1), probe.probe_key(b"\2" * 32)),
]
WORDS = [probe.MAGIC, b"\1", b"\2"]


def check(data: bytes) -> None:
    read = probe.decode(data, _KEY)
    if read is not None:
        assert probe.encode(read, _KEY) == data
        assert probe.sender_of(data) == read.sender
