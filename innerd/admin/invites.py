"""The verbs that write invitations, and the list of those that nobody has redeemed."""

import re
import sys
import time
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from itertools import islice
from pathlib import Path
from typing import cast

import click
import msgspec
from msgspec import Struct

from innerd.admin import invitation, several
from innerd.admin import plain as plain_peers
from innerd.admin.peers import free_name, one_of
from innerd.admin.saved import Saved
from innerd.admin.verb import Call, verb
from innerd.command import output, prompt
from innerd.command.kinds import Truth
from innerd.domain.values import COORDINATOR, Address, assignable, parse_address, parse_name, parse_public_key
from innerd.failure import Failure, usage
from innerd.wire.innernet import PeerJson
from innerd.wire.ours import NetworkCidr, NetworkJson

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(text: str, *, least: int = 1) -> int:
    """innernet's time strings, in seconds: a number and one of s, m, h, d, w. Raises Failure."""
    match = re.fullmatch(r"([0-9]{1,12})([smhdw])", text)
    if match is None or not least <= int(match[1]) * _UNITS[match[2]] <= 100 * 365 * 86_400:
        raise usage(f'"{text}" is no time', "write it as 14d, 12h or 30m", "invalid_duration")
    return int(match[1]) * _UNITS[match[2]]


@verb(
    "add-peer",
    click.argument("called", metavar="[NAME]", required=False),
    click.option("--name", help="Name of the new peer."),
    click.option("--ip", help="Its address."),
    click.option("--auto-ip", is_flag=True, help="Take the first free address of the CIDR."),
    click.option("--cidr", help="The CIDR it is added to."),
    click.option("--admin", type=Truth(), metavar="true|false", help="Whether it may administer the network."),
    click.option("--save-config", help="Where to write the invitation (- for stdout)."),
    click.option("--invite-expires", help="How long the invitation is good, such as 14d."),
    click.option(
        "--plain", is_flag=True, help="A device with WireGuard and without inn: write its file, not an invitation."
    ),
    click.option("--public-key", help="The key that the device (--plain) made itself."),
    *plain_peers.QR,
    changes=True,
)
async def add_peer(
    call: Call,
    called: str | None,
    name: str | None,
    ip: str | None,
    auto_ip: bool,
    cidr: str | None,
    admin: bool | None,
    save_config: str | None,
    invite_expires: str | None,
    plain: bool,
    public_key: str | None,
    qr: bool,
    save_qr: str | None,
    dns: tuple[str, ...],
) -> None:
    """Add a peer and write its invitation; or, of a device without inn (--plain), its file."""
    from innerd.wireguard import keys

    if plain:
        where = plain_peers.Shown(save_config, qr, save_qr, dns)
        await _add_plain(
            call, one_of(called, name, "--name"), ip, auto_ip, cidr, admin, invite_expires, public_key, where
        )
        return
    _only_of_plain({"--public-key": public_key, "--qr": qr, "--save-qr": save_qr, "--dns": dns})
    name = one_of(called, name, "--name")
    _check_ip(ip, auto_ip=auto_ip)
    if name is not None:
        parse_name(name, "peer name")
    new = await _new_peer(call, name, ip, auto_ip, cidr, admin, save_config, invite_expires)
    key = keys.generate()
    body = {
        "name": new.name,
        "ip": new.ip,
        "cidr_id": new.cidr_id,
        "public_key": keys.public_key(key),
        "is_admin": new.admin,
        "is_disabled": False,
        "is_redeemed": False,
        "invite_expires": {"secs_since_epoch": new.expires, "nanos_since_epoch": 0},
    }
    if call.dry_run:
        await call.change("POST", "/v1/admin/peers", body)
        return
    network = await call.network()
    with Saved(new.save_config or "-", is_shown=not call.as_json) as output:
        reply = await call.change("POST", "/v1/admin/peers", body)
        assert reply is not None  # noqa: S101 - not a dry run
        made = reply.read(PeerJson)
        written = _invitation(network, made.ip, key, new.expires)
        output.write(written)
    owner = next(c.name for c in network.cidrs if c.id == made.cidr_id)
    content = {
        "peer": msgspec.to_builtins(made) | {"cidr": owner, "invite_expires": new.expires},
        "invitation": written.decode() if output.is_stdout else str(new.save_config),
        "revision": reply.revision,
    }
    if output.is_stdout and not call.as_json:
        call.changed(reply)
        return
    call.tell(
        content,
        f'Peer "{made.name}" added with {made.ip} in {owner}.',
        f"Invitation written to {new.save_config}: "
        + f"it holds a private key, send it over a safe way. There: inn install {Path(str(new.save_config)).name}",
    )


def _check_ip(ip: str | None, *, auto_ip: bool) -> None:
    if ip is not None and auto_ip:
        raise usage("--ip and --auto-ip exclude each other")
    if ip is not None:
        parse_address(ip)


def _ask_name(network: NetworkJson) -> str:
    taken = {peer.name for peer in network.peers}
    return prompt.text("Name", "--name", check=lambda text: free_name(text, taken))


def _only_of_plain(given: dict[str, object]) -> None:
    for flag, value in given.items():
        if value:
            raise usage(f"{flag} is of a plain peer", "add --plain for a device without inn")


async def _add_plain(
    call: Call,
    name: str | None,
    ip: str | None,
    auto_ip: bool,
    cidr: str | None,
    admin: bool | None,
    invite_expires: str | None,
    public_key: str | None,
    where: plain_peers.Shown,
) -> None:
    """Its key pair is made here, and shown once; or the device made its own."""
    from innerd.wireguard import keys

    if admin:
        raise usage("a plain peer can't administer: it has no inn", "leave --admin out")
    if invite_expires is not None:
        raise usage("a plain peer has no invitation that could expire", "leave --invite-expires out")
    where.check()
    prompt.need({"--name": name, "--cidr": cidr})
    network = await call.network()
    found = await call.cidr(cidr or prompt.choose("CIDR", "--cidr", several.cidr_choices(network)))
    name = _ask_name(network) if name is None else name
    _check_ip(ip, auto_ip=auto_ip)
    key = keys.generate() if public_key is None else None
    body = {
        "name": parse_name(name, "peer name"),
        "ip": ip,
        "cidr_id": found.id,
        "public_key": keys.public_key(key) if key is not None else parse_public_key(str(public_key)),
        "is_admin": False,
        "is_disabled": False,
        "is_redeemed": True,
        "is_plain": True,
    }
    if call.dry_run:
        await call.change("POST", "/v1/admin/peers", body)
        return
    with Saved(where.file or "-", is_shown=False) as kept:
        reply = await call.change("POST", "/v1/admin/peers", body)
        assert reply is not None  # noqa: S101 - not a dry run
        made = reply.read(PeerJson)
        only_key = f"[Interface]\nPrivateKey = {key}\n"
        if key is not None:  # whatever comes now, it is not lost
            kept.write(only_key.encode())
        try:
            config = await plain_peers.config_of(call, made.id)
        except Failure:
            sys.stdout.write(only_key if key is not None and kept.is_stdout else "")
            raise
        text = plain_peers.as_text(config, key, where.resolvers)
        kept.write(text.encode())
    said = plain_peers.show(call, config, text, where)
    once = (
        "" if key is None else "; its key is shown once, here" if kept.is_stdout else "; its key is in the file alone"
    )
    sentence = f'Plain peer "{made.name}" added with {made.ip} in {found.name}{once}.'
    content = {"peer": msgspec.to_builtins(made) | {"cidr": found.name}, "config": text, "revision": reply.revision}
    plain_peers.tell(call, reply, kept, content, sentence, *said)


class _NewPeer(Struct, frozen=True):
    """What `add-peer` was told, by flags or at its prompts. `expires` in seconds since the epoch."""

    name: str
    ip: str | None
    cidr_id: int
    admin: bool
    save_config: str | None
    expires: int


async def _new_peer(
    call: Call,
    name: str | None,
    ip: str | None,
    auto_ip: bool,
    cidr: str | None,
    admin: bool | None,
    save_config: str | None,
    invite_expires: str | None,
) -> _NewPeer:
    """Ask for what no flag says. Each answer is checked when it is given: what comes later may depend on it."""
    chosen_ip = "auto" if auto_ip else ip
    given = {"--name": name, "--cidr": cidr, "--ip or --auto-ip": chosen_ip, "--admin": admin}
    given |= {"--invite-expires": invite_expires, "--save-config": "-" if call.dry_run else save_config}
    prompt.need(given)
    network = await call.network()
    asked = None in given.values()
    where = await call.cidr(cidr or prompt.choose("CIDR", "--cidr", several.cidr_choices(network)))
    if chosen_ip is None:
        free = _first_free(network, where)
        typed = prompt.text("IP", "--ip or --auto-ip", free, lambda text: _address_for(text, network, where))
        ip = None if typed == free else typed  # the coordinator knows of addresses that are never given again
    name = _ask_name(network) if name is None else name
    if admin is None:
        admin = prompt.yes_no(f"Make {name} an admin?", "--admin")
    expires = int(time.time()) + duration(
        invite_expires or prompt.text("Invitation is good for", "--invite-expires", "14d", duration)
    )
    if save_config is None and not call.dry_run:
        save_config = prompt.text("Save the invitation to", "--save-config", f"{name}.toml", prompt.new_file)
    if asked:
        call.confirm(f'Add peer "{name}" to {where.name}?')
    return _NewPeer(name, ip, where.id, admin, save_config, expires)


def _first_free(network: NetworkJson, cidr: NetworkCidr) -> str:
    """The first address of a CIDR, and of none inside it, that no peer has; nothing where all are taken."""
    block = ip_network(cidr.cidr)
    inner = [ip_network(child.cidr) for child in network.cidrs if child.parent == cidr.name]
    taken = {ip_address(peer.ip) for peer in network.peers}
    for address in islice(cast("Iterable[Address]", block), len(taken) + 4096):
        if assignable(address, block) and address not in taken and not any(address in child for child in inner):
            return str(address)
    return ""


def _address_for(text: str, network: NetworkJson, cidr: NetworkCidr) -> None:
    """A check for a question: an address of a CIDR that no peer has. Raises Refused or Failure."""
    address = parse_address(text)
    if address not in ip_network(cidr.cidr):
        raise usage(f"{address} does not lie inside CIDR {cidr.name} ({cidr.cidr})")
    if owner := next((peer for peer in network.peers if ip_address(peer.ip) == address), None):
        raise usage(f"{address} belongs to peer {owner.name}")


def _invitation(network: NetworkJson, ip: str, key: str, expires: int) -> bytes:
    coordinator = next(peer for peer in network.peers if peer.id == COORDINATOR)
    root = next(cidr for cidr in network.cidrs if cidr.parent is None)
    return invitation.write(
        invitation.Invitation(
            interface=invitation.InterfaceSection(
                network_name=network.name,
                suffix=network.suffix,
                address=f"{ip}/{root.cidr.partition('/')[2]}",
                private_key=key,
            ),
            server=invitation.ServerSection(
                public_key=coordinator.public_key,
                external_endpoint=coordinator.endpoint or "",
                internal_endpoint=network.internal_endpoint,
                tcp=network.tcp,
            ),
        ),
        expires,
    )


@verb(
    "reissue-invite",
    click.argument("peer", required=False),
    click.option("--name", help="The peer, which has not redeemed yet."),
    click.option("--save-config", help="Where to write the invitation (- for stdout)."),
    click.option("--invite-expires", help="How long it is good, such as 14d."),
    changes=True,
)
async def reissue_invite(
    call: Call, peer: str | None, name: str | None, save_config: str | None, invite_expires: str | None
) -> None:
    """Write a new invitation for a peer that has not redeemed; the old one is void at once."""
    from innerd.wireguard import keys

    name = one_of(peer, name, "--name")
    to = "-" if call.dry_run else save_config
    prompt.need({"PEER or --name": name, "--invite-expires": invite_expires, "--save-config": to})
    found = await call.peer(name or await several.choose(call, "Peer", lambda peer: not peer.is_redeemed))
    expires = int(time.time()) + duration(
        invite_expires or prompt.text("Invitation is good for", "--invite-expires", "14d", duration)
    )
    if save_config is None and not call.dry_run:
        save_config = prompt.text("Save the invitation to", "--save-config", f"{found.name}.toml", prompt.new_file)
    key = keys.generate()
    body = {"public_key": keys.public_key(key), "invite_expires": expires}
    path = f"/v1/admin/peers/{found.id}/reissue"
    if call.dry_run:
        await call.change("POST", path, body)
        return
    with Saved(save_config or "-", is_shown=not call.as_json) as output:
        reply = await call.change("POST", path, body)
        written = _invitation(await call.network(), found.ip, key, expires)
        output.write(written)
    call.changed(reply)
    if reply and (call.as_json or not output.is_stdout):
        where = written.decode() if output.is_stdout else str(save_config)
        shown = msgspec.to_builtins(found) | body
        content = {"peer": shown, "invitation": where, "revision": reply.revision}
        call.tell(content, f'New invitation for "{found.name}" written to {save_config}; the old one is void.')


_INVITES = ("NAME", "IP", "CIDR", "STATE", "EXPIRES")


@verb("list-invites", lists=_INVITES)
async def list_invites(call: Call) -> None:
    """The invitations that nobody has redeemed."""
    network = await call.network()
    now = time.time()
    invited = [peer for peer in output.by_address(network.peers) if not peer.is_redeemed]
    if call.as_json:
        invites = [
            {
                "id": p.id,
                "name": p.name,
                "ip": p.ip,
                "cidr": p.cidr,
                "is_admin": p.is_admin,
                "is_disabled": p.is_disabled,
                "expires": p.invite_expires,
                "is_expired": p.invite_expires is not None and p.invite_expires <= now,
            }
            for p in invited
        ]
        output.document({"invites": invites, "revision": network.revision})
        return
    rows = [(p.name, p.ip, p.cidr, output.state_of(p, now), output.moment(p.invite_expires)) for p in invited]
    output.table(_INVITES, rows, empty="No invitation is open.")


VERBS = [add_peer, reissue_invite, list_invites]
