"""The verbs for peers and their invitations."""

import re
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
from msgspec import Struct

from innclient import files, invitation
from innclient.admin import ask, render
from innclient.admin.verb import Call, verb
from innclient.failures import REFUSED, SYSTEM, Failure, usage
from innerd.domain.values import parse_address, parse_name
from innerd.wire.innernet import PeerJson
from innerd.wire.ours import NetworkJson, NetworkPeer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_COORDINATOR = 1


def duration(text: str) -> int:
    """innernet's time strings: a number and one of s, m, h, d, w. Raises Failure."""
    match = re.fullmatch(r"([0-9]{1,12})([smhdw])", text)
    if match is None or not 0 < int(match[1]) * _UNITS[match[2]] <= 100 * 365 * 86_400:
        raise usage(f'"{text}" is no time', "write it as 14d, 12h or 30m", "invalid_duration")
    return int(match[1]) * _UNITS[match[2]]


def _address_or_nothing(text: str) -> None:
    if text:
        parse_address(text)


def _name_option(help_: str) -> Any:
    return click.option("--name", help=help_)


async def _chosen(call: Call, name: str | None, question: str, fits: Any) -> NetworkPeer:
    """The peer named, or one chosen among those that fit."""
    if name is None:
        peers = [peer for peer in (await call.network()).peers if peer.id != _COORDINATOR and fits(peer)]
        name = ask.choose(question, "--name", [(p.name, f"{p.name} ({p.ip})") for p in render.by_address(peers)])
    return await call.peer(name)


def _changed(call: Call, peer: NetworkPeer, revision: int | None, sentence: str, **changes: Any) -> None:
    shown = {"id": peer.id, "name": peer.name, "ip": peer.ip, "cidr": peer.cidr, "is_admin": peer.is_admin}
    shown |= {"is_disabled": peer.is_disabled, "is_redeemed": peer.is_redeemed} | changes
    call.tell({"peer": shown, "revision": revision}, sentence)


@verb(
    "add-peer",
    _name_option("Name of the new peer."),
    click.option("--ip", help="Its address."),
    click.option("--auto-ip", is_flag=True, help="Take the first free address of the CIDR."),
    click.option("--cidr", help="The CIDR it is added to."),
    click.option("--admin", type=click.BOOL, metavar="true|false", help="Whether it may administer the network."),
    click.option("--save-config", help="Where to write the invitation (- for stdout)."),
    click.option("--invite-expires", help="How long the invitation is good, such as 14d."),
    changes=True,
)
async def add_peer(
    call: Call,
    name: str | None,
    ip: str | None,
    auto_ip: bool,
    cidr: str | None,
    admin: bool | None,
    save_config: str | None,
    invite_expires: str | None,
) -> None:
    """Add a peer and write its invitation."""
    from innerd.wireguard import keys

    if ip is not None and auto_ip:
        raise usage("--ip and --auto-ip exclude each other")
    if ip is not None:
        parse_address(ip)
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
    with _Output(new.save_config or "-", as_json=call.as_json) as output:
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
    """Ask for what no flag says."""
    network = await call.network()
    asked = None in (name, cidr, admin, save_config, invite_expires) or (ip is None and not auto_ip)
    if cidr is None:
        choices = [(c.name, f"{c.name} ({c.cidr})") for c in network.cidrs if c.id != 2]
        cidr = ask.choose("CIDR", "--cidr", choices)
    where = await call.cidr(cidr)
    if ip is None and not auto_ip:
        ip = (
            ask.text("IP (empty: the first free)", "--ip or --auto-ip", check=lambda t: not t or parse_address(t))
            or None
        )
    if name is None:
        name = ask.text("Name", "--name", check=lambda text: parse_name(text, "peer name"))
    if admin is None:
        admin = ask.yes_no(f"Make {name} an admin?", "--admin")
    expires = int(time.time()) + duration(
        invite_expires or ask.text("Invitation is good for", "--invite-expires", "14d", duration)
    )
    if save_config is None and not call.dry_run:
        save_config = ask.text("Save the invitation to", "--save-config", f"{name}.toml")
    if asked:
        call.confirm(f'Add peer "{name}" to {cidr}?')
    return _NewPeer(name, ip, where.id, admin, save_config, expires)


def _invitation(network: NetworkJson, ip: str, key: str, expires: int) -> bytes:
    coordinator = next(peer for peer in network.peers if peer.id == _COORDINATOR)
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
            ),
        ),
        expires,
    )


class _Output:
    """The invitation file: made before the peer, so that there is never a peer whose invitation can't be written. With
    `-` it goes to stdout, or, where that is to be one JSON document, into it."""

    def __init__(self, where: str, *, as_json: bool) -> None:
        self.is_stdout = where == "-"
        self._as_json = as_json
        self._path = Path(where)
        self._written = False

    def __enter__(self) -> "_Output":
        if not self.is_stdout:
            try:
                files.create(self._path, b"")
            except FileExistsError:
                raise usage(
                    f"{self._path} exists already", "choose another file for the invitation", "file_exists"
                ) from None
            except OSError as error:
                raise Failure(SYSTEM, "os_error", f"{self._path} can't be written: {error.strerror}") from None
        return self

    def write(self, data: bytes) -> None:
        self._written = True
        if self.is_stdout:
            sys.stdout.write("" if self._as_json else data.decode())
        else:
            files.write_atomically(self._path, data)

    def __exit__(self, *exception: object) -> None:
        if not self.is_stdout and not self._written:
            self._path.unlink(missing_ok=True)


@verb(
    "rename-peer",
    _name_option("The peer's name now."),
    click.option("--new-name", help="Its name from now on."),
    changes=True,
)
async def rename_peer(call: Call, name: str | None, new_name: str | None) -> None:
    """Rename a peer."""
    asked = name is None or new_name is None
    peer = await _chosen(call, name, "Peer to rename", lambda peer: True)
    if new_name is None:
        new_name = ask.text("New name", "--new-name", peer.name, lambda text: parse_name(text, "peer name"))
    if asked:
        call.confirm(f'Rename peer "{peer.name}" to "{new_name}"?')
    reply = await call.change("PATCH", f"/v1/admin/peers/{peer.id}", {"name": new_name})
    if reply:
        _changed(call, peer, reply.revision, f'Peer "{peer.name}" is "{new_name}" now.', name=new_name)


async def _patch(call: Call, peer: NetworkPeer, sentence: str, **changes: Any) -> None:
    reply = await call.change("PATCH", f"/v1/admin/peers/{peer.id}", changes)
    if reply:
        _changed(call, peer, reply.revision, sentence, **changes)


@verb("enable-peer", _name_option("The peer."), changes=True)
async def enable_peer(call: Call, name: str | None) -> None:
    """Let a disabled peer in again."""
    peer = await _chosen(call, name, "Peer to enable", lambda peer: peer.is_disabled)
    await _patch(call, peer, f'Peer "{peer.name}" is enabled.', is_disabled=False)


@verb("disable-peer", _name_option("The peer."), changes=True)
async def disable_peer(call: Call, name: str | None) -> None:
    """Shut a peer out, at once, until it is enabled again."""
    peer = await _chosen(call, name, "Peer to disable", lambda peer: not peer.is_disabled)
    call.own(peer, "it is out of the network at once, and only another administrator can let it in again")
    call.confirm(f'Disable peer "{peer.name}"?')
    await _patch(call, peer, f'Peer "{peer.name}" is disabled.', is_disabled=True)


@verb("grant-admin", _name_option("The peer."), changes=True)
async def grant_admin(call: Call, name: str | None) -> None:
    """Let a peer administer the network."""
    peer = await _chosen(call, name, "New admin", lambda peer: not peer.is_admin)
    await _patch(call, peer, f'Peer "{peer.name}" is an admin.', is_admin=True)


@verb("revoke-admin", _name_option("The peer."), changes=True)
async def revoke_admin(call: Call, name: str | None) -> None:
    """Take a peer's right to administer."""
    peer = await _chosen(call, name, "Admin no more", lambda peer: peer.is_admin)
    call.own(peer, "it can change nothing more, and only another administrator can give it the rights again")
    call.confirm(f'Take admin rights from "{peer.name}"?')
    await _patch(call, peer, f'Peer "{peer.name}" is no admin.', is_admin=False)


@verb("delete-peer", _name_option("The peer."), changes=True)
async def delete_peer(call: Call, name: str | None) -> None:
    """Delete a peer that has not redeemed its invitation; its name and address are free again."""
    peer = await _chosen(call, name, "Peer to delete", lambda peer: not peer.is_redeemed)
    if peer.is_redeemed:
        raise Failure(
            REFUSED, "peer_redeemed", f'peer "{peer.name}" has redeemed its invitation', "retire it: retire-peer"
        )
    call.confirm(f'Delete peer "{peer.name}"?')
    await _remove(call, peer, f'Peer "{peer.name}" is deleted; {peer.ip} is free.')


@verb("retire-peer", _name_option("The peer."), changes=True)
async def retire_peer(call: Call, name: str | None) -> None:
    """Take a peer out for good: its name is free, its address and key never again."""
    peer = await _chosen(call, name, "Peer to retire", lambda peer: peer.is_redeemed)
    if not peer.is_redeemed:
        raise Failure(
            REFUSED,
            "peer_not_redeemed",
            f'peer "{peer.name}" has not redeemed its invitation',
            "delete it: delete-peer",
        )
    call.own(peer, "it is out of the network at once and for good, and can only come back as a new peer")
    call.confirm(f'Retire peer "{peer.name}" for good? {peer.ip} is never given again.')
    await _remove(call, peer, f'Peer "{peer.name}" is retired.')


async def _remove(call: Call, peer: NetworkPeer, sentence: str) -> None:
    reply = await call.change("DELETE", f"/v1/admin/peers/{peer.id}", remove="true")
    if reply:
        _changed(call, peer, reply.revision, sentence)


@verb(
    "reissue-invite",
    _name_option("The peer, which has not redeemed yet."),
    click.option("--save-config", help="Where to write the invitation (- for stdout)."),
    click.option("--invite-expires", help="How long it is good, such as 14d."),
    changes=True,
)
async def reissue_invite(call: Call, name: str | None, save_config: str | None, invite_expires: str | None) -> None:
    """Write a new invitation for a peer that has not redeemed; the old one is void at once."""
    from innerd.wireguard import keys

    peer = await _chosen(call, name, "Peer", lambda peer: not peer.is_redeemed)
    expires = int(time.time()) + duration(
        invite_expires or ask.text("Invitation is good for", "--invite-expires", "14d", duration)
    )
    if save_config is None and not call.dry_run:
        save_config = ask.text("Save the invitation to", "--save-config", f"{peer.name}.toml")
    key = keys.generate()
    body = {"public_key": keys.public_key(key), "invite_expires": expires}
    path = f"/v1/admin/peers/{peer.id}/reissue"
    if call.dry_run:
        await call.change("POST", path, body)
        return
    with _Output(save_config or "-", as_json=call.as_json) as output:
        reply = await call.change("POST", path, body)
        written = _invitation(await call.network(), peer.ip, key, expires)
        output.write(written)
    call.changed(reply)
    if reply and (call.as_json or not output.is_stdout):
        where = written.decode() if output.is_stdout else str(save_config)
        shown = msgspec.to_builtins(peer) | body
        content = {"peer": shown, "invitation": where, "revision": reply.revision}
        call.tell(content, f'New invitation for "{peer.name}" written to {save_config}; the old one is void.')


@verb("list-peers")
async def list_peers(call: Call) -> None:
    """All peers of the network."""
    network = await call.network()
    if call.as_json:
        render.document({"peers": network.peers, "revision": network.revision})
        return
    now = time.time()
    rows = [
        (
            peer.name,
            peer.ip,
            peer.cidr,
            render.state_of(peer, now),
            "admin" if peer.is_admin else "",
            peer.endpoint or peer.learned_endpoint or "",
            render.ago(peer.last_handshake) if peer.last_handshake else "",
        )
        for peer in render.by_address(network.peers)
    ]
    render.table(("NAME", "IP", "CIDR", "STATE", "RIGHTS", "ENDPOINT", "HANDSHAKE"), rows)


@verb("list-invites")
async def list_invites(call: Call) -> None:
    """The invitations that nobody has redeemed."""
    network = await call.network()
    now = time.time()
    invited = [peer for peer in render.by_address(network.peers) if not peer.is_redeemed]
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
        render.document({"invites": invites, "revision": network.revision})
        return
    rows = [(p.name, p.ip, p.cidr, render.state_of(p, now), render.moment(p.invite_expires)) for p in invited]
    render.table(("NAME", "IP", "CIDR", "STATE", "EXPIRES"), rows)


VERBS = [
    add_peer,
    rename_peer,
    enable_peer,
    disable_peer,
    delete_peer,
    retire_peer,
    grant_admin,
    revoke_admin,
    list_peers,
    reissue_invite,
    list_invites,
]
