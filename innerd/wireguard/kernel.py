"""WireGuard in the kernel, over generic netlink (blocking: call it from a thread)."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from innerd.wireguard import links
from innerd.wireguard.device import Device, DeviceError, NoSuchDevice
from innerd.wireguard.genetlink import Conversation
from innerd.wireguard.netlink import GET_DEVICE, SET_DEVICE, DeviceReader, asking, emptying, setting
from innerd.wireguard.plan import Change
from innerd.wireguard.rtnetlink import refusal, route_socket


class KernelBackend(links.OnLinks):
    name = "kernel"

    def __init__(self) -> None:
        self._reader = DeviceReader()

    def works(self) -> bool:
        """Whether this kernel can make WireGuard links: tried, as module autoload is the only honest answer."""
        name = f"innp{os.getpid()}"  # of this process alone: others may try at the same moment
        try:
            with route_socket() as ip:
                ip.add_link(name, "wireguard")
                ip.delete_link(links.index_of(name))
        except DeviceError as error:
            if error.code == "not_root":
                raise
            return False
        return True

    def exists(self, interface: str) -> bool:
        return links.kind_of(interface) == "wireguard"

    def create(self, interface: str) -> None:
        kind = links.kind_of(interface)
        if kind == "wireguard":
            return
        if kind is not None:
            raise DeviceError(
                "interface_taken", f"another interface is named {interface}", "choose another name, or remove that one"
            )
        try:
            with route_socket() as ip:
                ip.add_link(interface, "wireguard")
        except DeviceError as error:
            if error.code == "not_root":
                raise
            raise DeviceError(
                "no_wireguard",
                f"this kernel has no WireGuard ({error.message})",
                "install it: apt install wireguard, or use --backend userspace with wireguard-go",
            ) from error

    def get(self, interface: str) -> Device:
        if not self.exists(interface):
            raise NoSuchDevice(interface)
        with _talking(interface) as kernel:
            return self._reader.read(kernel.dump(GET_DEVICE, asking(interface)))

    def apply(self, interface: str, changes: Sequence[Change]) -> None:
        if not changes:
            return
        with _talking(interface) as kernel:
            for message in setting(interface, changes):
                kernel.request(SET_DEVICE, message)

    def delete(self, interface: str) -> None:
        if self.exists(interface):
            with _talking(interface) as kernel:
                kernel.request(SET_DEVICE, emptying(interface))
            links.delete(interface)


@contextmanager
def _talking(interface: str) -> Iterator[Conversation]:
    """A conversation with the kernel's WireGuard; its errors come out as DeviceError."""
    try:
        kernel = Conversation("wireguard")
        try:
            yield kernel
        finally:
            kernel.close()
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise NoSuchDevice(interface) from error
        raise refusal(error.errno or 0, f"WireGuard netlink on {interface}: {error.strerror or error}") from error
