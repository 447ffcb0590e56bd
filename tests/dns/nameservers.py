"""Other people's name servers on loopback, with our zones in them: NSD as the second opinion of tests, NSD and dnsmasq
as the references of benchmarks. They are run from where they are installed, or unpacked by tests/tools/dns-fetch."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from pathlib import Path

import dns.name
import dns.reversename

from inndns.records import Host
from tests.dns.asking import SERVER, packet
from tests.dns.oracle import reverse_apexes

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("KWG_CACHE", "/var/cache/kwg")) / "dns"
PATIENCE = 20.0  # seconds until a server that does not come up is given up


def program(name: str) -> Path | None:
    """Where a server is, fetched if need be; None where it can't be had."""
    if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return Path(found)
    there = CACHE / name / "usr/sbin" / name
    if not there.exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run([ROOT / "tests/tools/dns-fetch", name], capture_output=True, check=False)
    return there if there.exists() else None


@contextlib.contextmanager
def running(command: list[str | Path], at: tuple[str, int], asked: str) -> Iterator[int]:
    """A server in the foreground that answers `asked NAME`; its process id. Ended in the end."""
    root = Path(command[0]).parents[2]
    libraries = [root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"] if CACHE in root.parents else []
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))} if libraries else dict(os.environ)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(process, at, packet(asked, "SOA"))
        yield process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_until_it_answers(process: subprocess.Popen[bytes], at: tuple[str, int], asked: bytes) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, f"{process.args!r} ended"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker, contextlib.suppress(OSError):
            asker.connect(at)
            asker.settimeout(0.1)
            asker.send(asked)
            asker.recv(4096)
            return
        time.sleep(0.02)  # the port is closed as yet, which is said at once
    raise TimeoutError(f"{process.args!r} does not answer")


def free_port(address: str) -> int:
    """One that is free for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
            udp.bind((address, 0))
            port = int(udp.getsockname()[1])
            socket.create_server((address, port)).close()
            return port


@contextlib.contextmanager
def nsd(folder: Path, zones: dict[str, str], address: str = "127.42.0.53") -> Iterator[tuple[tuple[str, int], int]]:
    """NSD, one server process, with zones by their domains: where it answers, and its process id. Of what it may be
    told, all that makes it as silent about itself and as short as ours."""
    found = program("nsd")
    assert found is not None
    at = address, free_port(address)
    lines = [
        "server:",
        f"  ip-address: {address}@{at[1]}",
        '  username: ""',
        '  chroot: ""',
        f'  zonesdir: "{folder}"',
        '  database: ""',
        *(f'  {key}: "{folder}/{key}"' for key in ("pidfile", "logfile", "zonelistfile", "xfrdfile", "xfrdir")),
        *(f"  {key}: yes" for key in ("hide-version", "hide-identity", "minimal-responses")),
        *(f"  {key}: 1232" for key in ("ipv4-edns-size", "ipv6-edns-size")),
        *(f"  {key}: 0" for key in ("rrl-ratelimit", "rrl-whitelist-ratelimit", "tcp-query-count")),
        "  server-count: 1",
        "remote-control:",
        "  control-enable: no",
    ]
    (folder / "xfrdir").mkdir()
    for number, (domain, text) in enumerate(zones.items()):
        (folder / f"zone{number}").write_text(text)
        lines += ["zone:", f'  name: "{domain}"', f'  zonefile: "zone{number}"']
    (folder / "nsd.conf").write_text("\n".join(lines) + "\n")
    with running([found, "-d", "-c", folder / "nsd.conf"], at, next(iter(zones))) as pid:
        yield (at, pid)


@contextlib.contextmanager
def dnsmasq(folder: Path, network: str, hosts: Iterable[Host]) -> Iterator[tuple[tuple[str, int], int]]:
    """dnsmasq with a hosts file, authoritative for the network's names."""
    found = program("dnsmasq")
    assert found is not None
    address = "127.42.0.54"
    at = address, free_port(address)
    file = folder / "hosts"
    file.write_text("".join(f"{host.address} {host.name}.{network}\n" for host in hosts))
    options = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"]
    options += [f"--listen-address={address}", f"--port={at[1]}", f"--addn-hosts={file}", f"--local=/{network}/"]
    options += ["--user=root", "--pid-file=", "--dns-forward-max=10000"]
    with running([found, *options], at, network) as pid:
        yield (at, pid)


# -- our zones as zone files ------------------------------------------------------------------------------------------


def zone_files(network: str, block: str, hosts: Iterable[Host], *, ttl: int, serial: int) -> dict[str, str]:
    """The zones of a network as zone files, by domain, as somebody sees them who sees everybody."""
    range_ = ip_network(block)
    server = f"{SERVER}.{network}."
    top = f"$TTL {ttl}\n@ SOA {server} hostmaster.{network}. {serial} 3600 600 86400 {ttl}\n@ NS {server}\n"
    forward = [top]
    backward = {domain: [top] for domain in reverse_apexes(range_)}
    cut = len(next(iter(backward)).labels)
    for host in hosts:
        forward.append(f"{host.name} {'A' if host.address.version == 4 else 'AAAA'} {host.address}\n")
        forward += [_record(host.name, *told) for told in host.records]
        whole = dns.reversename.from_address(str(host.address))
        backward[dns.name.Name(whole.labels[-cut:])].append(f"{whole} PTR {host.name}.{network}.\n")
    files = {f"{network}.": "".join(forward)}
    return files | {domain.to_text(): "".join(lines) for domain, lines in backward.items()}


def _record(host: str, owner: str, type_: str, value: str) -> str:
    """A record that hangs on a host: owners and targets are relative to it, as inndns.records has them."""

    def whole(name: str) -> str:
        return ".".join(host if label == "@" else label for label in name.split("."))

    if type_ == "TXT":
        parts = [value[at : at + 255] for at in range(0, max(1, len(value)), 255)]
        value = " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)
    elif type_ in ("CNAME", "SRV"):
        *numbers, target = value.split(" ")
        value = " ".join([*numbers, target if target.endswith(".") else whole(target)])
    return f"{whole(owner)} {type_} {value}\n"
