"""The verbs that look: the network as a whole, the audit trail, how far each peer is, where peers reach us."""

import msgspec
import rich_click as click

from innclient.admin import render
from innclient.admin.verb import Call, verb
from innclient.failures import printable
from innerd.wire.ours import Audit, AuditRecord, Convergence

_TECHNICAL = {"id", "peer", "redeemed_at"}


@verb(
    "audit",
    click.option("--limit", type=click.IntRange(1, 100_000), help="At most so many events, the newest."),
    click.option("--type", "type_", help="Only types that begin so, such as peer. or key.pinned."),
    click.option("--subject", help="Only events about this, such as peer:7."),
    click.option("--actor", help="Only what this peer or local user did."),
)
async def audit(call: Call, limit: int | None, type_: str | None, subject: str | None, actor: str | None) -> None:
    """Who did what, when, from where and to what: the log itself, oldest first."""
    filters = {"type": type_, "subject": subject, "actor": actor}
    events: list[AuditRecord] = []
    after: int | None = 0
    revision = 0
    while after is not None:
        given = {name: text for name, text in filters.items() if text is not None}
        page = (await call.api.get("/v1/admin/events", after=after, limit=1000, **given)).read(Audit)
        events += page.events
        after, revision = page.next, page.revision
    events = events[-limit:] if limit else events
    if call.as_json:
        render.document({"events": events, "revision": revision})
        return
    for event in events:
        render.line(printable(audit_line(event)))


def audit_line(event: AuditRecord) -> str:
    """One event as a line: revision, time, who and from where, what, old and new."""
    data = msgspec.json.decode(event.data)
    was, name = data.pop("was", None), data.pop("name", None)
    details = [f"{key}={value}" for key, value in data.items() if key not in _TECHNICAL and value is not None]
    if event.type.endswith((".renamed", "_changed", ".overridden", ".override_cleared")):
        now = name if event.type.endswith(".renamed") else data.get("endpoint", "none")
        details = [f"{was or 'none'} -> {now}"]
    who = f"{event.actor_name} ({event.origin})" if event.origin else event.actor_name
    subject = f"{name} ({event.subject})" if name and not event.type.endswith(".renamed") else event.subject
    when = event.at[:23].replace("T", " ") + "Z"
    return f"{event.seq:>6}  {when}  {who}  {event.type}  {subject}  {' '.join(details)}".rstrip()


@verb("convergence")
async def convergence(call: Call) -> None:
    """Which peers have applied the newest change, and which have not."""
    found = (await call.api.get("/v1/admin/convergence")).read(Convergence)
    if call.as_json:
        render.document({"revision": found.revision, "peers": found.peers})
        return
    rows = [
        (peer.name, peer.state, "" if peer.applied is None else str(peer.applied), render.moment(peer.applied_at))
        for peer in found.peers
    ]
    render.table(("NAME", "STATE", "APPLIED", "AT"), rows)


@verb("set-endpoint", click.argument("endpoint"), changes=True)
async def set_endpoint(call: Call, endpoint: str) -> None:
    """Tell all peers where they reach the coordinator from now on."""
    reply = await call.change("PUT", "/v1/admin/endpoint", {"endpoint": endpoint})
    if reply:
        call.tell({"endpoint": endpoint, "revision": reply.revision}, f"Peers reach the coordinator at {endpoint} now.")


VERBS = [audit, convergence]
