"""A device with wg-quick and without inn, behind a hard NAT, by the file as it was made; and its QR code, read by
another program than made it."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp

from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.nat import internet
from tests.netns.pinging import pinging
from tests.netns.sites import Sites
from tests.netns.steps import NETWORK

MACHINE, PHONE = "hard-a", "hard-p"
UP = ("env", "WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go", "wg-quick", "up", NETWORK)


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with internet() as net:
        made = Sites(net)
        made.join([MACHINE, "public-c"])
        made.innerd("add-cidr", "--name", "phones", "--cidr", "10.42.200.0/24", "--parent", NETWORK)
        made.innerd("add-association", MACHINE, "phones", "--yes")
        made.introduce(made.place(PHONE))
        yield made


@pytest.fixture(scope="module")
def phone(sites: Sites) -> Host:
    """It is up, by its file, but for DNS: hosts of the lab have no resolvconf."""
    sites.innerd(
        *("add-peer", "--plain", "--name", "tomo-phone", "--cidr", "phones"),
        *("--save-config", "/run/.lab/phone.conf", "--save-qr", "/run/.lab/phone.png"),
    )
    text = sites.coordinator.path("/run/.lab/phone.conf").read_text()
    host = sites.hosts[PHONE]
    host.path("/etc/wireguard").mkdir(exist_ok=True)
    host.path(f"/etc/wireguard/{NETWORK}.conf").write_text(re.sub(r"(?m)^DNS = .*\n", "", text))
    host.run(*UP)
    return host


def pixels(path: Path) -> memoryview:
    """The picture of a PNG of two colours (RFC 2083), a byte a pixel, as segno writes it."""
    data, at, chunks = path.read_bytes(), 8, dict[bytes, bytes]()
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        chunks[kind] = chunks.get(kind, b"") + data[at + 8 : at + 8 + size]
        at += 12 + size
    width, height, depth = struct.unpack_from(">IIB", chunks[b"IHDR"])
    assert depth == 1
    raw, row = zlib.decompress(chunks[b"IDAT"]), (width + 7) // 8 + 1
    lines, above = list[bytes](), bytes(row - 1)
    for at in range(0, height * row, row):
        line = raw[at + 1 : at + row]
        assert raw[at] in (0, 2), "a filter that is not known here"
        above = bytes((a + b) & 255 for a, b in zip(line, above, strict=True)) if raw[at] else line
        lines.append(above)
    drawn = bytes(255 * (line[x // 8] >> (7 - x % 8) & 1) for line in lines for x in range(width))
    return memoryview(drawn).cast("B", shape=[height, width])


def test_it_reaches_a_machine_behind_another_hard_nat_and_is_reached(sites: Sites, phone: Host) -> None:
    steps.reaches(phone, sites.addresses[MACHINE])
    steps.reaches(sites.hosts[MACHINE], "10.42.200.1")
    shown = steps.shown(sites.hosts[MACHINE])["tomo-phone"]
    wait_for(lambda: steps.shown(sites.hosts[MACHINE])["tomo-phone"]["path"] == "relayed", shown["path"])
    assert not steps.pings(phone, sites.addresses["public-c"])


def test_names_are_the_coordinators(sites: Sites, phone: Host) -> None:
    assert steps.answered(phone, "10.42.0.1", f"{MACHINE}.{NETWORK}.wg") == ("NOERROR", [sites.addresses[MACHINE]])
    assert steps.resolves(sites.hosts[MACHINE], f"tomo-phone.{NETWORK}.wg") == "10.42.200.1"


def test_its_qr_code_is_its_file(sites: Sites, phone: Host) -> None:
    text = sites.coordinator.path("/run/.lab/phone.conf").read_text()
    (read,) = zxingcpp.read_barcodes(pixels(sites.coordinator.path("/run/.lab/phone.png")))
    assert read.text == text
    assert oct(sites.coordinator.path("/run/.lab/phone.png").stat().st_mode & 0o777) == "0o600"


def test_its_file_is_old_when_somebody_comes_and_new_when_it_is_written_again(sites: Sites, phone: Host) -> None:
    assert "behind: can't reach" not in sites.innerd("list-peers")
    sites.innerd("add-association", "public-c", "phones", "--yes")
    assert "1 change behind: can't reach public-c" in sites.innerd("list-peers")
    assert "tomo-phone: its file is of revision" in sites.innerd("status")
    new = sites.innerd("export", "tomo-phone")
    assert "PrivateKey = the one that the device has" in new
    assert "behind: can't reach" not in sites.innerd("list-peers")
    key = re.findall(r"PrivateKey = \S+", sites.coordinator.path("/run/.lab/phone.conf").read_text())[0]
    text = re.sub(r"# PrivateKey = .*", key, re.sub(r"(?m)^DNS = .*\n", "", new))
    phone.run("wg-quick", "down", NETWORK)
    phone.path(f"/etc/wireguard/{NETWORK}.conf").write_text(text)
    phone.run(*UP)
    steps.reaches(phone, sites.addresses["public-c"])


def test_a_phone_that_is_disabled_is_out(sites: Sites, phone: Host) -> None:
    with pinging(phone, sites.addresses[MACHINE]) as ping:
        sites.innerd("disable-peer", "tomo-phone", "--yes", "--wait")
        last = ping.sent()
        wait_for(lambda: ping.sent() > last + 10, "a second of pings")
        assert ping.answered()[-1] <= last + 1
    assert not steps.pings(phone, "10.42.0.1")
