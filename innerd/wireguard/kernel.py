"""WireGuard in the kernel, through pyroute2's generic netlink (blocking: call it from a thread)."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from innerd.domain.values import Address, PublicKey, endpoint_of, split_endpoint
from innerd.wireguard import links
from innerd.wireguard.device import Device, DeviceError, DevicePeer, NoSuchDevice
from innerd.wireguard.plan import Change, RemovePeer, SetKey, SetPeer, SetPort


class KernelBackend:
    name = "kernel"

    def works(self) -> bool:
        """Whether this kernel can make WireGuard links: tried, as module autoload is the only honest answer."""
        try:
            with links.route_socket() as ip:
                ip.link("add", ifname="inn-probe", kind="wireguard")
                ip.link("del", ifname="inn-probe")
        except DeviceError as error:
            if error.code == "not_root":
                raise
            return False
        return True

    def exists(self, interface: str) -> bool:
        return links.kind_of(interface) == "wireguard"

    def index(self, interface: str) -> int:
        return links.index_of(interface)

    def create(self, interface: str) -> None:
        kind = links.kind_of(interface)
        if kind == "wireguard":
            return
        if kind is not None:
            raise DeviceError(
                "interface_taken", f"another interface is named {interface}", "choose another name, or remove that one"
            )
        try:
            with links.route_socket() as ip:
                ip.link("add", ifname=interface, kind="wireguard")
        except DeviceError as error:
            if error.code == "not_root":
                raise
            raise DeviceError(
                "no_wireguard",
                f"this kernel has no WireGuard ({error.message})",
                "install it: apt install wireguard, or use --backend userspace with wireguard-go",
            ) from error

    def configure(self, interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> None:
        links.configure(interface, address, prefix, mtu, routing=routing)

    def get(self, interface: str) -> Device:
        if not self.exists(interface):
            raise NoSuchDevice(interface)
        with _wireguard(interface) as wg:
            return parse_messages(wg.info(interface))

    def apply(self, interface: str, changes: Sequence[Change]) -> None:
        if not changes:
            return
        with _wireguard(interface) as wg:
            for change in changes:
                wg.set(interface, **_arguments(change))

    def delete(self, interface: str) -> None:
        if self.exists(interface):
            links.delete(interface)


@contextmanager
def _wireguard(interface: str) -> Iterator[Any]:
    from pyroute2 import WireGuard
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with WireGuard() as wg:
            yield wg
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            raise NoSuchDevice(interface) from error
        raise links.refusal(error.code, f"WireGuard netlink: {error}") from error
    except OSError as error:
        raise links.refusal(error.errno or 0, f"WireGuard netlink: {error}") from error


def _arguments(change: Change) -> dict[str, Any]:
    match change:
        case SetKey():
            return {"private_key": change.private_key}
        case SetPort():
            return {"listen_port": change.listen_port}
        case RemovePeer():
            return {"peer": {"public_key": change.public_key, "remove": True}}
        case SetPeer():
            return {"peer": _peer_arguments(change)}


def _peer_arguments(change: SetPeer) -> dict[str, Any]:
    peer: dict[str, Any] = {"public_key": change.public_key, "update_only": not change.is_new}
    if change.endpoint is not None:
        peer["endpoint_addr"], peer["endpoint_port"] = split_endpoint(change.endpoint)
    if change.keepalive is not None:
        peer["persistent_keepalive"] = change.keepalive
    if change.allowed_ips is not None:
        peer["replace_allowed_ips"] = True
        peer["allowed_ips"] = sorted(change.allowed_ips)
    return peer


def parse_messages(messages: Sequence[Any]) -> Device:
    """The device of a dump: it comes in several messages, and a peer may be cut in two."""
    private_key, port = "", 0
    peers: dict[PublicKey, DevicePeer] = {}
    for message in messages:
        private_key = _text(message.get_attr("WGDEVICE_A_PRIVATE_KEY")) or private_key
        port = message.get_attr("WGDEVICE_A_LISTEN_PORT") or port
        for peer in map(_peer, message.get_attr("WGDEVICE_A_PEERS") or ()):
            known = peers.get(peer.public_key)
            peers[peer.public_key] = peer if known is None else _merged(known, peer)
    return Device(private_key=private_key, listen_port=port, peers=peers)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _merged(first: DevicePeer, rest: DevicePeer) -> DevicePeer:
    from msgspec.structs import replace

    return replace(first, allowed_ips=first.allowed_ips | rest.allowed_ips)


def _peer(message: Any) -> DevicePeer:
    endpoint = message.get_attr("WGPEER_A_ENDPOINT")
    shook = message.get_attr("WGPEER_A_LAST_HANDSHAKE_TIME") or {}
    seconds = shook.get("tv_sec", 0) + shook.get("tv_nsec", 0) / 1e9
    return DevicePeer(
        public_key=PublicKey(_text(message.get_attr("WGPEER_A_PUBLIC_KEY"))),
        allowed_ips=frozenset(ip["addr"] for ip in message.get_attr("WGPEER_A_ALLOWEDIPS") or ()),
        endpoint=endpoint_of(endpoint["addr"], endpoint["port"]) if endpoint else None,
        keepalive=message.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") or 0,
        last_handshake=seconds or None,
        rx_bytes=message.get_attr("WGPEER_A_RX_BYTES") or 0,
        tx_bytes=message.get_attr("WGPEER_A_TX_BYTES") or 0,
    )
