"""The verbs for DNS records beside the names of peers."""

import click

from innerd.admin.verb import Call, verb
from innerd.command import output, prompt
from innerd.domain.records import TYPES
from innerd.domain.values import shown
from innerd.failure import not_found, usage
from innerd.wire.ours import NetworkRecord


@verb(
    "add-record",
    click.argument("name", required=False),
    click.argument("type_", metavar="TYPE", required=False, type=click.Choice(TYPES, case_sensitive=False)),
    click.argument("value", required=False),
    changes=True,
)
async def add_record(call: Call, name: str | None, type_: str | None, value: str | None) -> None:
    """Add a DNS record: NAME lies below a peer's name (app.ryo, *.app.ryo), or stands beside them (git, of a CNAME)."""
    prompt.need({"NAME": name, "TYPE": type_, "VALUE": value})
    await call.network()
    asked = name is None or type_ is None or value is None
    name = name or prompt.text("Name", "NAME")
    type_ = type_ or prompt.choose("Type", "TYPE", [(one, one) for one in TYPES])
    value = value or prompt.text("Value", "VALUE")
    if asked:
        call.confirm(f"Add {name} {type_} {value}?")
    reply = await call.change("POST", "/v1/admin/records", {"name": name, "type": type_, "value": value})
    if reply:
        made = reply.read(list[NetworkRecord])
        if not made:
            call.tell({"record": None, "revision": reply.revision}, f"{name} has that record already.")
            return
        record = made[0]
        sentence = f"{record.name} {record.type} {record.value} added (record {record.id}), for who sees {record.peer}."
        call.tell({"record": record, "revision": reply.revision}, sentence)


@verb(
    "delete-record",
    click.argument("name", required=False),
    click.argument("type_", metavar="TYPE", required=False),
    click.argument("value", required=False),
    click.option("--id", "number", type=click.IntRange(1), help="The record's number, as list-records shows it."),
    changes=True,
)
async def delete_record(call: Call, name: str | None, type_: str | None, value: str | None, number: int | None) -> None:
    """Delete a DNS record, by its name (and type and value, where it has several) or its number."""
    records = (await call.network()).records
    if number is None and name is None:
        text = prompt.choose("Record to delete", "NAME or --id", [(str(r.id), _line(r)) for r in records])
        number = int(text)
    found = [
        record
        for record in records
        if (number is None or record.id == number)
        and (name is None or record.name == name.lower().rstrip("."))
        and (type_ is None or record.type == type_.upper())
        and (value is None or record.value == value)
    ]
    if not found:
        wanted = f"with number {number}" if number is not None else f"{shown(name or '')} {type_ or ''}".rstrip()
        raise not_found("record_not_found", f"there is no record {wanted}", "list-records shows all")
    if len(found) > 1:
        several = "; ".join(f"{record.id}: {_line(record)}" for record in found)
        what = f"{shown(name or '')} has several records: {several}"
        raise usage(what, "say which: --id", "record_ambiguous")
    (record,) = found
    call.confirm(f"Delete {_line(record)}?")
    reply = await call.change("DELETE", f"/v1/admin/records/{record.id}")
    if reply:
        call.tell({"record": record, "revision": reply.revision}, f"{_line(record)} is deleted.")


_RECORDS = ("ID", "NAME", "TYPE", "VALUE", "PEER")


@verb("list-records", lists=_RECORDS)
async def list_records(call: Call) -> None:
    """All DNS records beside the names of peers."""
    network = await call.network()
    if call.as_json:
        output.document({"records": network.records, "revision": network.revision})
        return
    rows = [(str(r.id), r.name, r.type, r.value, r.peer) for r in network.records]
    output.table(_RECORDS, rows, empty="There are no records beside the names of peers.")


def _line(record: NetworkRecord) -> str:
    return f"{record.name} {record.type} {record.value}"


VERBS = [add_record, delete_record, list_records]
