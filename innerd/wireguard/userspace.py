"""WireGuard by wireguard-go, over its UAPI socket (https://www.wireguard.com/xplatform/#cross-platform-userspace-implementation).

Keys are lower-case hex there, an operation ends with an empty line, the answer with `errno=N`. wireguard-go
daemonises; it outlives us, and we find it again by its socket.
"""

import contextlib
import errno
import os
import socket
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

from innerd.domain.errors import plainly
from innerd.domain.values import Endpoint, PublicKey, shown, whole_number
from innerd.wireguard import daemon, links
from innerd.wireguard.device import Device, DeviceError, DevicePeer, NoSuchDevice, handshake_of
from innerd.wireguard.plan import Change, RemovePeer, SetKey, SetPeer, SetPort
from innerd.wireguard.rtnetlink import refusal

_MOST_ERRNO = 4095
_PEER = "\npublic_key="  # what the lines of each begin with
_TIMEOUT = 30.0  # seconds for one operation
_BYTES = 50_000  # of a question, that give it a second more: 5,000 peers take one where nothing else runs


def _hex(key: str) -> str:
    return b64decode(key).hex()


def _base64(key: str) -> str:
    return b64encode(bytes.fromhex(key)).decode()


class UserspaceBackend(links.OnLinks):
    name = "userspace"

    def __init__(self, sockets: Path = Path("/var/run/wireguard")) -> None:
        self.sockets = sockets
        self._reader = DeviceReader()

    def _socket(self, interface: str) -> Path:
        return self.sockets / f"{interface}.sock"

    def exists(self, interface: str) -> bool:
        """Whether there is a link, and a daemon answers for it: not one that was killed, or that is about to end."""
        if links.number_of(interface) is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(str(self._socket(interface)))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:  # not to be able to look is not to see nothing
            raise DeviceError(
                "device_failed", f"wireguard-go of {interface} can't be asked: {plainly(error)}"
            ) from error
        return True

    def create(self, interface: str) -> None:
        if self.exists(interface):
            return
        if not Path("/dev/net/tun").exists():
            raise DeviceError(
                "no_tun", "there is no /dev/net/tun, which userspace WireGuard needs", "load the module: modprobe tun"
            )
        program = daemon.program()
        if program is None:
            raise DeviceError(
                "no_wireguard",
                f"this kernel has no WireGuard and there is no {daemon.wanted()}",
                "install one: apt install wireguard (kernel module) or wireguard-go (userspace)",
            )
        self.await_end(interface)
        if links.number_of(interface) is not None:
            raise DeviceError(
                "interface_taken", f"another interface is named {interface}", "choose another name, or remove that one"
            )
        # A session of its own: a Ctrl-C on our terminal must not end the tunnel.
        done = subprocess.run(
            [program, interface],
            env={**os.environ, "LOG_LEVEL": "error"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
            timeout=30,
        )
        if done.returncode or not self.exists(interface):
            raise DeviceError(
                "device_failed",
                f"wireguard-go could not make {interface} (status {done.returncode})",
                f"try it by hand: LOG_LEVEL=verbose {program} -f {interface}",
            )

    def get(self, interface: str) -> Device:
        return self._reader.read(self._ask(interface, "get=1\n\n"))

    def apply(self, interface: str, changes: Sequence[Change]) -> None:
        if changes:
            self._ask(interface, "set=1\n" + "".join(f"{line}\n" for c in changes for line in _lines(c)) + "\n")

    def delete(self, interface: str) -> None:
        if self.exists(interface):
            links.delete(interface)
        self.await_end(interface)
        if links.number_of(interface) is None:  # else somebody else's
            self._socket(interface).unlink(missing_ok=True)

    def await_end(self, interface: str) -> None:
        """A daemon whose link is gone ends by itself, and takes the socket's file away when it does, whosever it is by
        then: so nobody may make another before."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.settimeout(_TIMEOUT)
            last.connect(str(self._socket(interface)))
            if links.number_of(interface) is None:
                last.recv(1)  # its end

    def _ask(self, interface: str, question: str) -> str:
        try:
            answer = _exchange(self._socket(interface), question.encode())
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoSuchDevice(interface) from None
        except OSError as error:
            raise DeviceError("device_failed", f"wireguard-go of {interface}: {plainly(error)}") from error
        return answered(interface, answer)


def _exchange(path: Path, question: bytes) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT + len(question) / _BYTES)
        connection.connect(str(path))
        connection.sendall(question)
        answer = bytearray()
        while not answer.endswith(b"\n\n"):
            chunk = connection.recv(1 << 20)
            if not chunk:
                break
            answer += chunk
    if not answer.endswith(b"\n\n"):
        raise OSError(errno.EPIPE, "it ended in the middle of its answer")
    return answer.decode("ascii", errors="replace")


def answered(interface: str, answer: str) -> str:
    """What an answer says before its status. Raises DeviceError for any status but 0."""
    body, _, status = answer.rpartition("errno=")
    if status.strip() != "0":
        number = whole_number(status.strip().removeprefix("-"), _MOST_ERRNO) or errno.EIO
        raise refusal(number, f"wireguard-go of {interface}: {os.strerror(number)}")
    return body


def _lines(change: Change) -> Iterator[str]:
    match change:
        case SetKey():
            yield f"private_key={_hex(change.private_key)}"
        case SetPort():
            yield f"listen_port={change.listen_port}"
        case RemovePeer():
            yield f"public_key={_hex(change.public_key)}"
            yield "remove=true"
        case SetPeer():
            yield f"public_key={_hex(change.public_key)}"
            if not change.is_new:  # never bring back a peer that went meanwhile
                yield "update_only=true"
            if change.endpoint is not None:
                yield f"endpoint={change.endpoint}"
            if change.keepalive is not None:
                yield f"persistent_keepalive_interval={change.keepalive}"
            if change.allowed_ips is not None:
                yield "replace_allowed_ips=true"
                yield from (f"allowed_ip={ip}" for ip in sorted(change.allowed_ips))


class DeviceReader:
    """Reads UAPI `get` answers. Of peers that are as they were in the one before the value is the same object: most
    are, so that a look at thousands of them costs little."""

    def __init__(self) -> None:
        self._known: dict[str, DevicePeer] = {}  # by the text of each

    def read(self, text: str) -> Device:
        """The device of an answer. Raises DeviceError."""
        try:
            return self._read(text)
        except ValueError as error:
            raise DeviceError("device_failed", f"wireguard-go gave an answer that can't be read: {error}") from error

    def _read(self, text: str) -> Device:
        head, *parts = ("\n" + text.rstrip("\n")).split(_PEER)
        before, known = self._known, dict[str, DevicePeer]()
        for part in parts:
            known[part] = before.get(part) or _peer(part)
        self._known = known
        private_key, port = "", 0
        for line in head.splitlines():
            name, _, value = line.partition("=")
            if name == "private_key":
                private_key = _base64(value)
            elif name == "listen_port":
                port = _number(value, 65535)
        return Device(private_key=private_key, listen_port=port, peers={p.public_key: p for p in known.values()})


def _number(text: str, most: int = 2**63 - 1) -> int:
    number = whole_number(text, most)
    if number is None:
        raise ValueError(f"{shown(text)} is no number of 0 to {most}")
    return number


def _peer(part: str) -> DevicePeer:
    """A peer as it stands behind its `public_key=`."""
    key, *lines = part.splitlines() or [""]
    at: dict[str, str] = {}
    ips: list[str] = []
    for line in lines:
        name, _, value = line.partition("=")
        if name == "allowed_ip":
            ips.append(value)
        else:
            at[name] = value
    endpoint = at.get("endpoint")
    if endpoint:
        _number(endpoint.rpartition(":")[2], 65535)
    if len(key) != 64:
        raise ValueError(f"a key of {len(key)} digits")
    return DevicePeer(
        public_key=PublicKey(_base64(key)),
        allowed_ips=frozenset(ips),
        endpoint=Endpoint(endpoint) if endpoint else None,
        keepalive=_number(at.get("persistent_keepalive_interval", "0"), 65535),
        last_handshake=handshake_of(
            _number(at.get("last_handshake_time_sec", "0")), _number(at.get("last_handshake_time_nsec", "0"))
        ),
        rx_bytes=_number(at.get("rx_bytes", "0"), 2**64 - 1),
        tx_bytes=_number(at.get("tx_bytes", "0"), 2**64 - 1),
    )
