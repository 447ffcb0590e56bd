"""The verbs that change a peer, or several: rename, shut out and let in, rights, take out."""

from typing import Any

import click

from innerd.admin import several
from innerd.admin.several import PEERS, chosen, for_each, quoted
from innerd.admin.verb import Call, verb
from innerd.command import prompt
from innerd.domain.values import COORDINATOR, parse_name
from innerd.failure import REFUSED, Failure, usage
from innerd.wire.ours import NetworkPeer


def _changed(call: Call, peer: NetworkPeer, revision: int | None, sentence: str, **changes: Any) -> None:
    shown = {"id": peer.id, "name": peer.name, "ip": peer.ip, "cidr": peer.cidr, "is_admin": peer.is_admin}
    shown |= {"is_disabled": peer.is_disabled, "is_redeemed": peer.is_redeemed} | changes
    call.tell({"peer": shown, "revision": revision}, sentence)


def one_of(word: str | None, flag: str | None, name: str) -> str | None:
    """A value that may be given as a word or by its flag, but once."""
    if word is not None and flag is not None:
        raise usage(f"{name} is given twice, as {word} and {flag}")
    return word if flag is None else flag


@verb(
    "rename-peer",
    click.argument("peer", required=False),
    click.argument("to", metavar="[NEW_NAME]", required=False),
    click.option("--name", help="The peer's name now."),
    click.option("--new-name", help="Its name from now on."),
    changes=True,
)
async def rename_peer(call: Call, peer: str | None, to: str | None, name: str | None, new_name: str | None) -> None:
    """Rename a peer."""
    name, new_name = one_of(peer, name, "--name"), one_of(to, new_name, "--new-name")
    prompt.need({"--name": name, "--new-name": new_name})
    asked = name is None or new_name is None
    found = await call.peer(name or await several.choose(call, "Peer to rename", lambda peer: True))
    if new_name is None:
        taken = {other.name for other in (await call.network()).peers} - {found.name}
        new_name = prompt.text("New name", "--new-name", found.name, lambda text: free_name(text, taken))
    if asked:
        call.confirm(f'Rename peer "{found.name}" to "{new_name}"?')
    reply = await call.change("PATCH", f"/v1/admin/peers/{found.id}", {"name": new_name})
    if reply:
        _changed(call, found, reply.revision, f'Peer "{found.name}" is "{new_name}" now.', name=new_name)


def free_name(text: str, taken: set[str]) -> None:
    """A check for a question: a name that a peer may have, and none has. Raises Refused or Failure."""
    if parse_name(text, "peer name") in taken:
        raise usage(f'a peer named "{text}" exists already')


async def _patch(call: Call, peer: NetworkPeer, sentence: str, **changes: Any) -> None:
    reply = await call.change("PATCH", f"/v1/admin/peers/{peer.id}", changes)
    if reply:
        _changed(call, peer, reply.revision, sentence, **changes)


@verb("enable-peer", *PEERS, changes=True)
async def enable_peer(call: Call, peers: tuple[str, ...], name: tuple[str, ...]) -> None:
    """Let disabled peers in again."""
    found = await chosen(call, (*peers, *name), "Peer to enable", lambda peer: peer.is_disabled)
    await for_each(call, found, lambda peer: _patch(call, peer, f'Peer "{peer.name}" is enabled.', is_disabled=False))


@verb("disable-peer", *PEERS, changes=True)
async def disable_peer(call: Call, peers: tuple[str, ...], name: tuple[str, ...]) -> None:
    """Shut peers out, at once, until they are enabled again."""
    found = await chosen(call, (*peers, *name), "Peer to disable", lambda peer: not peer.is_disabled)
    for peer in found:
        call.own(peer, "it is out of the network at once, and only another administrator can let it in again")
    call.confirm(f"Disable {quoted(found)}?")
    await for_each(call, found, lambda peer: _patch(call, peer, f'Peer "{peer.name}" is disabled.', is_disabled=True))


@verb("grant-admin", *PEERS, changes=True)
async def grant_admin(call: Call, peers: tuple[str, ...], name: tuple[str, ...]) -> None:
    """Let peers administer the network."""
    found = await chosen(call, (*peers, *name), "New admin", lambda peer: not peer.is_admin)
    await for_each(call, found, lambda peer: _patch(call, peer, f'Peer "{peer.name}" is an admin.', is_admin=True))


@verb("revoke-admin", *PEERS, changes=True)
async def revoke_admin(call: Call, peers: tuple[str, ...], name: tuple[str, ...]) -> None:
    """Take peers' right to administer."""
    found = await chosen(call, (*peers, *name), "Admin no more", lambda peer: peer.is_admin)
    for peer in found:
        call.own(peer, "it can change nothing more, and only another administrator can give it the rights again")
    call.confirm(f"Take admin rights from {quoted(found)}?")
    await for_each(call, found, lambda peer: _patch(call, peer, f'Peer "{peer.name}" is no admin.', is_admin=False))


@verb("delete-peer", *PEERS, changes=True)
async def delete_peer(call: Call, peers: tuple[str, ...], name: tuple[str, ...]) -> None:
    """Delete peers that have not redeemed their invitations; their names and addresses are free again."""
    found = await chosen(call, (*peers, *name), "Peer to delete", lambda peer: not peer.is_redeemed)
    for peer in found:
        if peer.is_redeemed and peer.id != COORDINATOR:  # which is refused for what it is
            raise Failure(
                REFUSED, "peer_redeemed", f'peer "{peer.name}" has redeemed its invitation', "retire it: retire-peer"
            )
    call.confirm(f"Delete {quoted(found)}?")
    await for_each(call, found, lambda peer: _remove(call, peer, f'Peer "{peer.name}" is deleted; {peer.ip} is free.'))


@verb("retire-peer", *PEERS, changes=True)
async def retire_peer(call: Call, peers: tuple[str, ...], name: tuple[str, ...]) -> None:
    """Take peers out for good: their names are free, their addresses and keys never again."""
    found = await chosen(call, (*peers, *name), "Peer to retire", lambda peer: peer.is_redeemed)
    for peer in found:
        if not peer.is_redeemed:
            raise Failure(
                REFUSED,
                "peer_not_redeemed",
                f'peer "{peer.name}" has not redeemed its invitation',
                "delete it: delete-peer",
            )
    burnt = f"{found[0].ip} is" if len(found) == 1 else "Their addresses are"
    for peer in found:
        call.own(peer, "it is out of the network at once and for good, and can only come back as a new peer")
    call.confirm(f"Retire {quoted(found)} for good? {burnt} never given again.")
    await for_each(call, found, lambda peer: _remove(call, peer, f'Peer "{peer.name}" is retired.'))


async def _remove(call: Call, peer: NetworkPeer, sentence: str) -> None:
    reply = await call.change("DELETE", f"/v1/admin/peers/{peer.id}", remove="true")
    if reply:
        _changed(call, peer, reply.revision, sentence)


VERBS = [rename_peer, enable_peer, disable_peer, delete_peer, retire_peer, grant_admin, revoke_admin]
