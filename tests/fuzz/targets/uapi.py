"""What a wireguard-go answers: a device that can be worked with, or a DeviceError."""

import contextlib
from math import isfinite

from innerd.domain.values import endpoint_address, key_bytes
from innerd.wireguard.device import Device, DeviceError, Wanted
from innerd.wireguard.netlink import setting
from innerd.wireguard.plan import applied, plan
from innerd.wireguard.userspace import DeviceReader, answered
from tests.wireguard.test_uapi import ANSWER
from tests.world import private_key

SEEDS = [
    (ANSWER + "errno=0\n\n").encode(),
    b"errno=-19\n\n",
    b"private_key=\nlisten_port=0\nerrno=0\n\n",
    b"errno=0\n\n",
]
WORDS = [line.encode() + b"\n" for line in ANSWER.splitlines()] + [b"errno=", b"="]


def check(data: bytes) -> None:
    text = data.decode("ascii", errors="replace")
    with contextlib.suppress(DeviceError):
        usable(DeviceReader().read(answered("kermpany", text)))
    with contextlib.suppress(DeviceError):
        usable(DeviceReader().read(text))


def usable(device: Device) -> None:
    """What everybody does with a device: look at its endpoints, its ranges, its times; make it another."""
    for peer in device.peers.values():
        if peer.endpoint is not None:
            endpoint_address(peer.endpoint)
        assert peer.last_handshake is None or isfinite(peer.last_handshake)
        assert len(key_bytes(peer.public_key)) == 32
    made = plan(device, Wanted(private_key=private_key("ryo"), peers={}))
    setting("kermpany", made)
    applied(device, made)
