"""The verbs for CIDRs and associations."""

import click

from innerd.admin import several
from innerd.admin.peers import one_of
from innerd.admin.several import cidr_choices
from innerd.admin.verb import Call, verb
from innerd.command import output, prompt
from innerd.domain.claims import exact_range
from innerd.domain.values import parse_name, parse_range, within
from innerd.failure import Failure, not_found, usage
from innerd.wire.innernet import CidrJson
from innerd.wire.ours import NetworkAssociation, NetworkCidr


async def _choose(call: Call, question: str, flag: str) -> str:
    return prompt.choose(question, flag, cidr_choices(await call.network()))


def _cidr_name(text: str) -> str:
    return parse_name(text, "CIDR name")


def _free_name(text: str, taken: set[str]) -> None:
    if _cidr_name(text) in taken:
        raise usage(f'a CIDR named "{text}" exists already')


def _inside(text: str, around: NetworkCidr) -> None:
    if not within(exact_range(text), parse_range(around.cidr)):
        raise usage(f"{text} does not lie inside CIDR {around.name} ({around.cidr})")


@verb(
    "add-cidr",
    click.argument("called", metavar="[NAME]", required=False),
    click.argument("block", metavar="[CIDR]", required=False),
    click.option("--name", help="Name of the new CIDR."),
    click.option("--cidr", help="Its range, such as 10.42.1.0/24."),
    click.option("--parent", help="The CIDR around it."),
    changes=True,
)
async def add_cidr(
    call: Call, called: str | None, block: str | None, name: str | None, cidr: str | None, parent: str | None
) -> None:
    """Add a CIDR. Peers whose addresses lie in it belong to it from then on, and no longer to the one around it: they
    lose sight of its peers, unless an association joins them. Where that happens, it is shown first, and asked about;
    delete-cidr --merge undoes it."""
    name, cidr = one_of(called, name, "--name"), one_of(block, cidr, "--cidr")
    if name is not None:
        _cidr_name(name)
    if cidr is not None:
        exact_range(cidr)
    prompt.need({"--name": name, "--cidr": cidr, "--parent": parent})
    asked = None in (name, cidr, parent)
    around = await call.cidr(parent or await _choose(call, "Parent CIDR", "--parent"))
    taken = {other.name for other in (await call.network()).cidrs}
    name = name or prompt.text("Name", "--name", check=lambda text: _free_name(text, taken))
    cidr = cidr or prompt.text("CIDR", "--cidr", check=lambda text: _inside(text, around))
    request = ("POST", "/v1/admin/cidrs", {"name": name, "cidr": cidr, "parent": around.id})
    question = f'Add CIDR "{name}" ({cidr}) to {around.name}?'
    diff = await call.foresee(question, *request)
    if asked and not diff.moved:
        call.confirm(question)
    reply = await call.change(*request)
    if reply:
        made = reply.read(CidrJson)
        shown = {"id": made.id, "name": made.name, "cidr": made.cidr, "parent": around.name}
        said = f'CIDR "{made.name}" ({made.cidr}) added to {around.name}.'
        call.tell({"cidr": shown, "diff": diff, "revision": reply.revision}, said, *output.effects(diff))


@verb(
    "rename-cidr",
    click.argument("which", metavar="[CIDR]", required=False),
    click.argument("to", metavar="[NEW_NAME]", required=False),
    click.option("--name", help="Its name now."),
    click.option("--new-name", help="Its name from now on."),
    changes=True,
)
async def rename_cidr(call: Call, which: str | None, to: str | None, name: str | None, new_name: str | None) -> None:
    """Rename a CIDR."""
    name, new_name = one_of(which, name, "--name"), one_of(to, new_name, "--new-name")
    prompt.need({"--name": name, "--new-name": new_name})
    asked = name is None or new_name is None
    cidr = await call.cidr(name or await _choose(call, "CIDR to rename", "--name"))
    new_name = new_name or prompt.text("New name", "--new-name", cidr.name, _cidr_name)
    if asked:
        call.confirm(f'Rename CIDR "{cidr.name}" to "{new_name}"?')
    body = {"name": new_name, "cidr": cidr.cidr, "parent": None}
    reply = await call.change("PUT", f"/v1/admin/cidrs/{cidr.id}", body)
    if reply:
        shown = _shown(cidr) | {"name": new_name}
        call.tell({"cidr": shown, "revision": reply.revision}, f'CIDR "{cidr.name}" is "{new_name}" now.')


def _shown(cidr: NetworkCidr) -> dict[str, object]:
    return {"id": cidr.id, "name": cidr.name, "cidr": cidr.cidr, "parent": cidr.parent}


@verb(
    "delete-cidr",
    click.argument("which", metavar="[CIDR]", required=False),
    click.option("--name", help="The CIDR."),
    click.option("--merge", is_flag=True, help="Give its peers back to the CIDR around it."),
    changes=True,
)
async def delete_cidr(call: Call, which: str | None, name: str | None, merge: bool) -> None:
    """Delete a CIDR that holds no CIDRs and has no associations. With --merge it may hold peers: the CIDR around it
    gets them back, with all whom its peers see."""
    name = one_of(which, name, "--name")
    if name is None:
        prompt.need({"CIDR or --name": None})
        choices = several.deletable(await call.network(), merge=merge)
        if not choices:
            what = "CIDRs or associations" if merge else "CIDRs, peers or associations"
            hint = "delete-association first" if merge else "--merge gives the peers of one back to the CIDR around it"
            raise usage(f"no CIDR can be deleted: each that could be has {what}", hint)
        name = prompt.choose("CIDR to delete", "CIDR or --name", choices)
    cidr = await call.cidr(name)
    question = f'Delete CIDR "{cidr.name}" ({cidr.cidr})?'
    path, how = f"/v1/admin/cidrs/{cidr.id}", {"merge": "true"} if merge else {}
    if not merge:
        call.confirm(question)
    diff = await call.foresee(question, "DELETE", path, **how)
    if merge and not diff.moved:
        call.confirm(question)
    reply = await call.change("DELETE", path, **how)
    if reply:
        content = {"cidr": _shown(cidr), "diff": diff, "revision": reply.revision}
        call.tell(content, f'CIDR "{cidr.name}" is deleted.', *output.effects(diff))


_CIDRS = ("NAME", "CIDR", "PARENT", "PEERS", "ID")


@verb("list-cidrs", click.option("-t", "--tree", is_flag=True, help="As a tree."), lists=_CIDRS)
async def list_cidrs(call: Call, tree: bool) -> None:
    """All CIDRs of the network. On a machine that is no administrator's, as it was told of them; PEERS are those that
    it sees."""
    network = await call.known()
    if call.as_json:
        output.document({"cidrs": network.cidrs, "revision": network.revision})
    elif tree:
        output.tree(network, peers=False)
    else:
        rows = [(c.name, c.cidr, c.parent or "", str(c.peers), str(c.id)) for c in network.cidrs]
        output.table(_CIDRS, rows, on_request=("ID",))


@verb("add-association", click.argument("cidr1", required=False), click.argument("cidr2", required=False), changes=True)
async def add_association(call: Call, cidr1: str | None, cidr2: str | None) -> None:
    """Let the peers of two CIDRs reach each other."""
    prompt.need({"CIDR1": cidr1, "CIDR2": cidr2})
    asked = cidr1 is None or cidr2 is None
    one = await call.cidr(cidr1 or await _choose(call, "First CIDR", "CIDR1"))
    other = await call.cidr(cidr2 or await _choose(call, "Second CIDR", "CIDR2"))
    if asked:
        call.confirm(f"Associate {one.name} and {other.name}?")
    made = {"cidr1": one.name, "cidr2": other.name}
    already = {one.name, other.name} in ({a.cidr1, a.cidr2} for a in (await call.network()).associations)
    if already and not call.dry_run:
        revision = (await call.network()).revision
        call.tell({"association": made, "revision": revision}, f"{one.name} and {other.name} are associated already.")
        return
    reply = await call.change("POST", "/v1/admin/associations", {"cidr_id_1": one.id, "cidr_id_2": other.id})
    if reply:
        call.tell({"association": made, "revision": reply.revision}, f"{one.name} and {other.name} are associated.")


@verb(
    "delete-association", click.argument("cidr1", required=False), click.argument("cidr2", required=False), changes=True
)
async def delete_association(call: Call, cidr1: str | None, cidr2: str | None) -> None:
    """End the association of two CIDRs."""
    associations = (await call.network()).associations
    if cidr1 is None or cidr2 is None:
        choices = [(str(a.id), f"{a.cidr1} - {a.cidr2}") for a in associations]
        number = prompt.choose("Association to delete", "CIDR1 CIDR2", choices)
        found: NetworkAssociation | None = next(a for a in associations if str(a.id) == number)
    else:
        cidr1, cidr2 = [(await call.cidr(name)).name for name in (cidr1, cidr2)]
        found = next((a for a in associations if {a.cidr1, a.cidr2} == {cidr1, cidr2}), None)
    if found is None:
        raise not_found("association_not_found", f"{cidr1} and {cidr2} are not associated")
    call.confirm(f"End the association of {found.cidr1} and {found.cidr2}?")
    reply = await call.change("DELETE", f"/v1/admin/associations/{found.id}")
    if reply:
        ended = {"id": found.id, "cidr1": found.cidr1, "cidr2": found.cidr2}
        sentence = f"{found.cidr1} and {found.cidr2} are no longer associated."
        call.tell({"association": ended, "revision": reply.revision}, sentence)


@verb("list-associations", lists=())
async def list_associations(call: Call) -> None:
    """All associations of the network. Who is no administrator is told of none: why says by which it sees a peer."""
    try:
        network = await call.network()
    except Failure as failure:
        if failure.code == "not_admin":
            failure.hint = "inn why PEER says by which association this machine sees a peer"
        raise
    if call.as_json:
        output.document({"associations": network.associations, "revision": network.revision})
        return
    if not network.associations:
        output.line("No CIDRs are associated.")
    for association in network.associations:
        output.item(f"{association.id}: {association.cidr1} <=> {association.cidr2}")


VERBS = [
    add_cidr,
    rename_cidr,
    delete_cidr,
    list_cidrs,
    add_association,
    delete_association,
    list_associations,
]
