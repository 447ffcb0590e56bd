"""Plain peers, as an administrator adds them and looks after them: the file, its picture, its age, what is refused."""

import re
import stat

import pytest

from innerd.admin.plain import MOST, as_text, picture_of, too_large
from innerd.wire.reach import PlainConfig, PlainPeer
from tests.client.commands import Host
from tests.client.conftest import NETWORK, revision
from tests.world import key

NEW = ["add-peer", NETWORK, "--plain", "--name", "phone", "--cidr", "humans"]


def config(*peers: str, ip: str = "10.42.128.9", is_relay: bool = True) -> PlainConfig:
    return PlainConfig(
        revision=14,
        network=NETWORK,
        name="phone",
        ip=ip,
        public_key=key("phone"),
        endpoint="vpn.example.com:51820",
        dns="10.42.0.1",
        domain="kermpany.wg",
        is_relay=is_relay,
        peers=[
            PlainPeer(name=name, ip=f"10.42.0.{at}", public_key=key(name))
            for at, name in enumerate(("innernet-server", *peers), 1)
        ],
    )


def test_the_file_is_what_wg_quick_reads() -> None:
    assert as_text(config("db1"), "the key", ("9.9.9.9",)) == (
        "[Interface]\n"
        f"# phone in {NETWORK}, revision 14\n"
        "PrivateKey = the key\n"
        "Address = 10.42.128.9/32\n"
        "DNS = 10.42.0.1, 9.9.9.9, kermpany.wg\n"
        "\n"
        "[Peer]\n"
        "# innernet-server\n"
        f"PublicKey = {key('innernet-server')}\n"
        "AllowedIPs = 10.42.0.1/32\n"
        "Endpoint = vpn.example.com:51820\n"
        "PersistentKeepalive = 25\n"
        "\n"
        "[Peer]\n"
        "# db1\n"
        f"PublicKey = {key('db1')}\n"
        "AllowedIPs = 10.42.0.2/32\n"
        "Endpoint = vpn.example.com:51820\n"
    )


def test_of_a_network_of_ipv6_too() -> None:
    assert "Address = fd00::9/128\n" in as_text(config(ip="fd00::9"), None)


def test_of_what_is_too_large_for_a_picture_both_numbers_are_said() -> None:
    large = config(*(f"machine-{number}" for number in range(40)))
    text = as_text(large, "k" * 44)
    assert picture_of(text) is None
    said = too_large(text, large)
    assert f"{len(text)} bytes" in said
    fits = int(re.findall(r"\((\d+) of its 41 peers\)", said)[0])
    assert 12 <= fits <= 20
    small = config(*(f"machine-{number}" for number in range(fits - 1)))
    assert len(as_text(small, "k" * 44)) <= MOST
    assert picture_of(as_text(small, "k" * 44)) is not None


def test_it_is_added_with_its_file_and_picture_which_are_for_root_alone(host: Host) -> None:
    file, picture, before = host.folder / "phone.conf", host.folder / "phone.svg", revision(host)
    said = host.ok(*NEW, "--save-config", str(file), "--save-qr", str(picture))
    assert 'Plain peer "phone" added with 10.42.128.3 in humans' in said
    assert revision(host) == before + 2
    text = file.read_text()
    assert re.search(r"^PrivateKey = \S{43}=$", text, re.MULTILINE)
    assert {"# innernet-server", "# ryo", "# mari"} <= set(text.splitlines())
    assert "# oven" not in text
    assert "<svg" in picture.read_text()
    for path in (file, picture):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_file_it_is_shown_and_that_alone(host: Host) -> None:
    done = host(*NEW)
    assert done.out.startswith("[Interface]\n")
    assert "its key is shown once" in done.err
    assert "██" in host("add-peer", NETWORK, "--plain", "--name", "pad", "--cidr", "humans", "--qr").out


def test_in_json_it_is_one_document(host: Host) -> None:
    document = host.json(*NEW)
    assert document["config"].startswith("[Interface]\n")
    assert (document["peer"]["name"], document["peer"]["cidr"]) == ("phone", "humans")
    assert document["revision"] == revision(host)


def test_a_device_that_made_its_own_key_keeps_it(host: Host) -> None:
    document = host.json(*NEW, "--public-key", key("phone"))
    assert document["peer"]["public_key"] == key("phone")
    assert "# PrivateKey = the one that the device has" in document["config"]


def test_its_file_grows_old_and_is_written_again(host: Host) -> None:
    host.ok(*NEW, "--save-config", str(host.folder / "phone.conf"))
    assert "behind" not in host.ok("list-peers")
    host.ok("add-association", "humans", "ovens")
    host.ok("disable-peer", "mari", "--yes")
    listed = host.ok("list-peers", NETWORK)
    assert re.search(r"phone: its file is of revision \d+, 2 changes behind: can't reach oven\n", listed)
    assert "phone: its file is of revision" in host.ok("status", NETWORK)
    (peer,) = [peer for peer in host.json("list-peers", NETWORK)["peers"] if peer["name"] == "phone"]
    assert (peer["config"]["missing"], peer["config"]["gone"]) == (["oven"], ["mari"])
    again = host("export", NETWORK, "phone").out
    assert "# oven" in again
    assert "# mari" not in again
    assert "# PrivateKey" in again
    assert "behind" not in host.ok("list-peers")
    before = revision(host)
    host.ok("export", NETWORK, "phone")
    assert revision(host) == before + 1, "which file is out is in the log"


def test_names_make_no_file_old(host: Host) -> None:
    host.ok(*NEW, "--save-config", str(host.folder / "phone.conf"))
    host.ok("rename-peer", NETWORK, "mari", "marie", "--yes")
    assert "behind" not in host.ok("list-peers")


def test_where_nothing_is_relayed_that_is_said(host: Host) -> None:
    host.ok("disallow-relay", NETWORK, "--yes")
    assert "THE NETWORK HAS NO RELAY" in host.ok(*NEW, "--save-config", str(host.folder / "phone.conf"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([*NEW, "--admin", "true"], (2, "usage"), id="an admin"),
        pytest.param([*NEW, "--invite-expires", "1d"], (2, "usage"), id="an invitation"),
        pytest.param([*NEW, "--save-qr", "phone.gif"], (2, "usage"), id="a picture of no kind"),
        pytest.param([*NEW, "--public-key", "none"], (2, "invalid_key"), id="no key"),
        pytest.param([*NEW, "--ip", "10.42.128.1"], (3, "address_taken"), id="an address that is taken"),
        pytest.param(["add-peer", NETWORK, "--plain", "--cidr", "humans"], (2, "missing_flag"), id="no name"),
        pytest.param(["add-peer", NETWORK, "--name", "x", "--cidr", "humans", "--qr"], (2, "usage"), id="not plain"),
        pytest.param(["export", NETWORK, "mari"], (3, "peer_not_plain"), id="a peer with inn"),
        pytest.param(["export", NETWORK, "nobody"], (4, "peer_not_found"), id="nobody"),
        pytest.param([*NEW, "--save-config", "/proc/none/x"], (6, "os_error"), id="a file that can't be"),
    ],
)
def test_what_is_refused_changes_nothing(arguments: list[str], expected: tuple[int, str], host: Host) -> None:
    before = revision(host)
    done = host(*arguments)
    assert (done.status, done.code) == expected, done.err
    assert revision(host) == before


@pytest.mark.parametrize("flag", ["--save-config", "--save-qr"])
def test_a_file_that_is_there_is_not_written_over(flag: str, host: Host) -> None:
    taken, before = host.folder / "taken.png", revision(host)
    taken.write_text("mine")
    done = host(*NEW, flag, str(taken))
    assert (done.status, done.code) == (2, "file_exists")
    assert taken.read_text() == "mine"
    assert revision(host) == before


def test_who_is_out_is_given_no_file(host: Host) -> None:
    host.ok(*NEW, "--save-config", str(host.folder / "phone.conf"))
    host.ok("disable-peer", "phone", "--yes")
    assert host("export", NETWORK, "phone").code == "peer_not_active"


def test_a_file_with_a_key_is_never_written_over_by_one_without(host: Host) -> None:
    file = host.folder / "phone.conf"
    host.ok(*NEW, "--save-config", str(file))
    before, text = revision(host), file.read_text()
    done = host("export", NETWORK, "phone", "--save-config", str(file))
    assert (done.status, done.code, revision(host), file.read_text()) == (2, "file_exists", before, text)


def test_a_file_with_another_endpoint_than_the_coordinators_is_old(host: Host) -> None:
    host.ok(*NEW, "--save-config", str(host.folder / "phone.conf"))
    host.ok("set-endpoint", NETWORK, "198.51.100.7:443")
    assert "can't reach innernet-server" in host.ok("list-peers")
