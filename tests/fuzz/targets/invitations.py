"""An invitation from whoever sent it: read, or refused; and what is read can become a configuration that reads back."""

from innclient import config
from innerd.admin import invitation
from innerd.admin.invitation import InterfaceSection, Invitation, ServerSection
from innerd.failure import Failure
from innerd.host import toml
from tests.fuzz.targets.configs import _folder
from tests.world import key, private_key


def _written(address: str, external: str, internal: str) -> bytes:
    interface = InterfaceSection(network_name="kermpany", address=address, private_key=private_key("temporary"))
    server = ServerSection(public_key=key("coordinator"), external_endpoint=external, internal_endpoint=internal)
    return invitation.write(Invitation(interface=interface, server=server), 1_790_000_000)


SEEDS = [
    _written("10.42.128.1/16", "192.0.2.1:51820", "10.42.0.1:51820"),
    _written("fd00::8/64", "vpn.example.com:1", "[fd00::1]:51820"),
]
WORDS = [
    *SEEDS[0].splitlines(),
    b"/0",
    b"/128",
    b"%eth0",
    b"::ffff:10.0.0.1",
    b"listen-port = ",
    b"xn--a",
    b"[::1]:1",
    b"0x7f.1:1",
]


def check(data: bytes) -> None:
    file = _folder()[1] / "invitation.toml"
    file.write_bytes(data)
    try:
        read, _ = invitation.read(file)
    except Failure:
        return
    made = config.document(read.interface, read.server, private_key("ryo"))
    again = toml.parse(toml.write(made).decode(), config.Config, "config")
    assert again == made
    invitation.check(again.interface, again.server)
