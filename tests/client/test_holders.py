"""Who has a port: named as `ss -p` names it, whatever the family, the address or the process; and nobody where nobody
has it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from innerd.wireguard.device import DeviceError
from innerd.wireguard.holders import holder
from innerd.wireguard.sockets import port_is_free
from tests.netns.lab import Host, wait_for

ME = f"(pid {os.getpid()})"
TAKES = """
import pathlib, socket, sys, time
pathlib.Path("/proc/self/comm").write_text(sys.argv[1])
kind = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}[sys.argv[2]]
taken = socket.socket(socket.AF_INET, kind)
taken.bind(("", int(sys.argv[3])))
if sys.argv[2] == "tcp":
    taken.listen()
print(taken.getsockname()[1], flush=True)
time.sleep(99)
"""
ASKS = "import sys; from innerd.wireguard.holders import holder; print(holder(sys.argv[1], int(sys.argv[2])))"


def bound(family: int, kind: int, address: str) -> socket.socket:
    made = socket.socket(family, kind)
    made.bind((address, 0))
    return made


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, ""), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::"), (socket.AF_INET6, "::1")],
)
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_who_listens_is_named(family: int, address: str, protocol: str) -> None:
    with bound(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM, address) as taken:
        port = taken.getsockname()[1]
        if protocol == "tcp":
            assert holder(protocol, port) is None  # it does not listen yet
            taken.listen()
        found = holder(protocol, port)
        assert found is not None
        assert found.endswith(ME)
        assert holder("tcp" if protocol == "udp" else "udp", port) is None
    assert holder(protocol, port) is None


def test_a_connected_udp_socket_has_its_port_and_a_connected_tcp_one_does_not() -> None:
    with bound(socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1") as asking:
        asking.connect(("127.0.0.1", 9))
        assert str(holder("udp", asking.getsockname()[1])).endswith(ME)
    with bound(socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1") as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()) as connected:
            assert holder("tcp", connected.getsockname()[1]) is None


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process, with a name that parsers stumble over, that has a UDP port."""
    process = subprocess.Popen(
        [sys.executable, "-c", TAKES, "we) ird (pid 1", "udp", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def test_another_process_is_named_until_it_ends(other: tuple[subprocess.Popen[str], int]) -> None:
    process, port = other
    assert holder("udp", port) == f"we) ird (pid 1 (pid {process.pid})"
    with pytest.raises(DeviceError) as raised:
        port_is_free(port)
    assert raised.value.code == "port_in_use"
    assert f"UDP port {port} is in use by we) ird" in raised.value.message
    process.kill()
    process.wait()
    assert holder("udp", port) is None
    port_is_free(port)


def test_without_root_somebody_has_it_who_can_not_be_seen(other: tuple[subprocess.Popen[str], int]) -> None:
    if os.geteuid():
        pytest.skip("only root can stop being root")
    _, port = other
    as_nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    done = subprocess.run(
        [*as_nobody, sys.executable, "-c", ASKS, "udp", str(port)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode:
        pytest.skip(f"nobody can't read our Python here: {done.stderr[-200:]}")
    assert done.stdout.strip() != "None"


def test_lines_that_are_no_sockets_hinder_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A kernel without IPv6 has no /proc/net/udp6."""
    from pathlib import Path

    from innerd.wireguard import holders

    here = Path(str(tmp_path))
    (here / "net").mkdir()
    line = "  1: 00000000:CA6C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0"
    (here / "net" / "udp").write_text(f"  sl  local_address ...\n{line}\n")
    (here / "42" / "fd").mkdir(parents=True)
    (here / "42" / "fd" / "3").symlink_to("socket:[4711]")
    (here / "43").mkdir()  # ended while we looked
    monkeypatch.setattr(holders, "_PROC", here)
    assert holder("udp", 51820) == "a process (pid 42)"
    (here / "42" / "comm").write_text("wireguard-go\n")
    assert holder("udp", 51820) == "wireguard-go (pid 42)"
    assert holder("tcp", 51820) is None


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host("holder", 1)
    yield made
    made.end()


def asked(host: Host, protocol: str, port: int) -> str:
    return host.run("python", "-c", ASKS, protocol, str(port)).strip()


@pytest.mark.netns
def test_a_port_of_the_kernels_own_is_said_to_be_the_kernels(host: Host) -> None:
    host.run("ip", "link", "add", "tunnel", "type", "vxlan", "id", "7", "dstport", "51820", "dev", "lo")
    host.run("ip", "link", "set", "tunnel", "up")
    assert asked(host, "udp", 51820).startswith("the kernel")
    host.run("ip", "link", "del", "tunnel")
    assert asked(host, "udp", 51820) == "None"


@pytest.mark.netns
def test_a_process_that_can_not_be_seen_is_not_said_to_be_the_kernel(host: Host) -> None:
    """In a container with the host's network: the port is had by a process of the host."""
    host.start("python", "-c", TAKES, "outside", "udp", "51821")
    wait_for(lambda: "51821" in host.run("ss", "-lnu"), "the port to be taken")
    inside = ("unshare", "--pid", "--fork", "--mount-proc")
    found = host.run(*inside, "python", "-c", ASKS, "udp", "51821").strip()
    assert found != "None"
    assert "can't be seen" in found
