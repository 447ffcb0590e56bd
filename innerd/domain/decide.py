"""The one way to the deciders: a network, a command and the time in; events out, or `Refused` raised.

An empty tuple means "already so": nothing will be appended, and the answer is success.
"""

from typing import assert_never

from innerd.domain import associations, cidrs, imports, invitations, peers, records
from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.network import Network


def decide(network: Network, command: c.Command, now: float) -> tuple[e.AnyEvent, ...]:  # noqa: C901
    """What happens when `command` is wished for at `now` (seconds since 1970, UTC)."""
    match command:
        case c.CreateNetwork():
            return cidrs.create_network(network, command)
        case c.ImportNetwork():
            return imports.import_network(network, command)
        case c.RestoreLog():
            generation = max(network.generation, command.beyond) + 1
            return (e.LogRestored(generation=generation, from_revision=network.revision),)
        case c.SetNetworkEndpoint():
            return peers.set_network_endpoint(network, command)
        case c.AddCidr():
            return cidrs.add_cidr(network, command)
        case c.RenameCidr():
            return cidrs.rename_cidr(network, command)
        case c.DeleteCidr():
            return cidrs.delete_cidr(network, command)
        case c.AddPeer():
            return peers.add_peer(network, command)
        case c.ChangePeer():
            return peers.change_peer(network, command)
        case c.RenamePeer():
            return peers.rename_peer(network, command)
        case c.EnablePeer():
            return peers.enable_peer(network, command)
        case c.DisablePeer():
            return peers.disable_peer(network, command)
        case c.RemovePeer():
            return peers.remove_peer(network, command)
        case c.GrantAdmin():
            return peers.grant_admin(network, command)
        case c.RevokeAdmin():
            return peers.revoke_admin(network, command)
        case c.ReissueInvitation():
            return invitations.reissue(network, command)
        case c.Redeem():
            return invitations.redeem(network, command, now)
        case c.ExpireInvitations():
            return invitations.expire(network, now)
        case c.AddAssociation():
            return associations.add_association(network, command)
        case c.DeleteAssociation():
            return associations.delete_association(network, command)
        case c.OverrideEndpoint():
            return peers.override_endpoint(network, command)
        case c.WriteConfig():
            return peers.write_config(network, command)
        case c.AllowRelay():
            return peers.allow_relay(network, command)
        case c.DisallowRelay():
            return peers.disallow_relay(network, command)
        case c.AddRecord():
            return records.add_record(network, command)
        case c.DeleteRecord():
            return records.delete_record(network, command)
        case _:
            assert_never(command)
