"""wireguard-go outlives us, and sometimes it does not: what its socket tells and what a dead one may not."""

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from innerd.wireguard.device import DeviceError, NoSuchDevice
from innerd.wireguard.plan import SetKey, SetPeer, SetPort
from innerd.wireguard.userspace import UserspaceBackend
from tests.wireguard.devices import KEYS
from tests.world import private_key

NAME = f"ict{os.getpid() % 0xFFFF:x}u"

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/net/tun").exists(), reason="needs root and /dev/net/tun"),
]


@pytest.fixture
def backend() -> Iterator[UserspaceBackend]:
    made = UserspaceBackend()
    made.create(NAME)
    yield made
    made.delete(NAME)


def daemons() -> list[int]:
    """The processes of our interface."""
    wanted = f"wireguard-go\0{NAME}\0"
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text(errors="replace")
        except OSError:
            continue
        if line.endswith(wanted):
            found.append(int(path.parent.name))
    return found


def test_it_runs_by_itself_and_ends_with_its_interface(backend: UserspaceBackend) -> None:
    (daemon,) = daemons()
    assert os.getsid(daemon) != os.getsid(0)  # a Ctrl-C on our terminal is not for it
    pidfd = os.pidfd_open(daemon)
    backend.delete(NAME)
    assert ended(pidfd)
    assert not (backend.sockets / f"{NAME}.sock").exists()


def ended(pidfd: int) -> bool:
    """Whether the process ends, within 5 s."""
    readable, _, _ = select.select([pidfd], [], [], 5)
    os.close(pidfd)
    return bool(readable)


def test_a_killed_one_is_not_there_and_its_socket_in_nobodys_way(backend: UserspaceBackend) -> None:
    (daemon,) = daemons()
    pidfd = os.pidfd_open(daemon)
    os.kill(daemon, signal.SIGKILL)
    assert ended(pidfd)
    assert (backend.sockets / f"{NAME}.sock").exists()
    assert not backend.exists(NAME)
    with pytest.raises(NoSuchDevice):
        backend.get(NAME)
    backend.create(NAME)
    assert backend.get(NAME).peers == {}


@pytest.mark.parametrize(
    "change",
    [SetPort(70_000), SetPeer(public_key=KEYS[0], is_new=True, endpoint="no.address.example:1")],
    ids=["no such port", "a name for an address"],
)
def test_what_it_refuses_is_an_error_of_the_device(backend: UserspaceBackend, change: SetPort | SetPeer) -> None:
    with pytest.raises(DeviceError, match=NAME) as refused:
        backend.apply(NAME, [change])
    assert refused.value.code == "device_failed"


def test_no_key_is_in_what_it_says_went_wrong(backend: UserspaceBackend) -> None:
    with pytest.raises(DeviceError) as refused:
        backend.apply(NAME, [SetKey(private_key("us")), SetPort(70_000)])
    assert private_key("us") not in f"{refused.value!r} {refused.value.hint}"
