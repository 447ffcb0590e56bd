"""The verbs that look: the network as a whole, the audit trail, how far each peer is, where peers reach us."""

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, get_args

import click
import msgspec

from innerd.admin.invites import duration
from innerd.admin.naming import peer_named
from innerd.admin.verb import Call, Connect, verb
from innerd.admin.ways import WAY
from innerd.command import listing, output
from innerd.command.kinds import Offered
from innerd.command.near import did_you_mean
from innerd.command.options import run
from innerd.command.settings import Settings
from innerd.domain.events import AnyEvent, type_of
from innerd.domain.values import COORDINATOR
from innerd.failure import Failure, unreachable, usage
from innerd.wire.ours import Audit, AuditRecord, Convergence, Status, Why

_SUBJECTS = ("peer", "cidr", "association", "record")
_PAGE = 1000
_AGO = re.compile(r"[0-9]+[smhdw]")
_TIMES = {"invite_expires", "redeemed_at"}
_TECHNICAL = {"id", "peer", "redeemed_at"}


@verb(
    "audit",
    click.option("--since", help="From then on: a time, a revision (exclusive), or how long ago, such as 2h."),
    click.option("--until", help="Up to then: a time, a revision, or how long ago."),
    click.option("--limit", type=click.IntRange(1, 100_000), help="At most so many events, the newest."),
    click.option(
        "--type", "type_", type=Offered(lambda: _types()), help="Only types that begin so, such as peer. or key.pinned."
    ),
    click.option("--subject", help="Only events about this: a name, or such as peer:7."),
    click.option("--actor", help="Only what this peer or local user did."),
    click.option("-f", "--follow", is_flag=True, help="Go on, and show events as they happen."),
    lists=(),
)
async def audit(
    call: Call,
    since: str | None,
    until: str | None,
    limit: int | None,
    type_: str | None,
    subject: str | None,
    actor: str | None,
    follow: bool,
) -> None:
    """Who did what, when, from where and to what: the log itself, oldest first."""
    if follow and listing.is_watched():
        raise usage("--follow and --watch exclude each other")
    about = None if subject is None else await _subject(call, subject)
    actor = None if actor is None else await _actor(call, actor)
    _say_what_never_matches(type_)
    given = {"since": moment_of(since), "until": moment_of(until), "type": type_, "subject": about, "actor": actor}
    asked = {name: text for name, text in given.items() if text is not None}
    if follow and limit is not None:
        raise usage("--follow and --limit exclude each other")
    if follow:
        await _follow(call, asked)
        return
    events, revision = await _events(call, asked, limit)
    if call.as_json:
        output.document({"events": events, "revision": revision})
    elif events:
        names = await _named(call) if any(map(_speaks_of_others, events)) else {}
        for event in events:
            _learn(names, event)
            output.line(audit_line(event, names))
    else:
        sys.stderr.write("no event matches\n")


async def _subject(call: Call, text: str) -> str:
    """What the log calls it: `peer:7` as it is, a name that a peer or CIDR has now as the same. Raises Failure."""
    if text == "network" or (text.partition(":")[0] in _SUBJECTS and ":" in text):
        return text
    network = await call.network()
    found = next((cidr for cidr in network.cidrs if text in (cidr.name, cidr.cidr)), None)
    if any(peer.name == text for peer in network.peers) or found is None:
        return f"peer:{peer_named(network, text).id}"
    return f"cidr:{found.id}"


async def _actor(call: Call, text: str) -> str:
    """What the log calls it, or a name that somebody had: of who is retired the coordinator knows."""
    if text.partition(":")[0] in ("peer", "local") or text == "coordinator":
        return text
    network = await call.network()
    try:
        return peer_named(network, text).name
    except Failure:
        return text


async def _named(call: Call) -> dict[str, str]:
    """What peers and CIDRs are called now, by what the log calls them."""
    network = await call.network()
    peers = {f"peer:{peer.id}": peer.name for peer in network.peers}
    return peers | {f"cidr:{cidr.id}": cidr.name for cidr in network.cidrs}


def _speaks_of_others(event: AuditRecord) -> bool:
    """Whether its line has names that it does not bring itself: then the network is asked for them."""
    data = _NAMED.decode(event.data)
    return bool(data.parent) or not data.name or event.type.startswith(("association.", "record."))


class _Named(msgspec.Struct, gc=False):
    """What an event says that may be a name: a newer coordinator's may say anything."""

    name: object = None
    parent: object = None


_NAMED = msgspec.json.Decoder(_Named)


def _learn(names: dict[str, str], event: AuditRecord) -> None:
    """What something was called that is there no more, or came after we asked."""
    if event.subject in names and not event.type.endswith(".renamed"):
        return
    told = _NAMED.decode(event.data).name
    if told and isinstance(told, str) and event.subject.partition(":")[0] in ("peer", "cidr"):
        names[event.subject] = told


def _types() -> list[str]:
    return [type_of(kind) for kind in get_args(AnyEvent)]


def _say_what_never_matches(type_: str | None) -> None:
    """A note where no event of this release is of a type that begins so: a newer coordinator may know some."""
    types = _types()
    if type_ is None or any(known.startswith(type_) for known in types):
        return
    hint = did_you_mean(type_, types, f"types are {', '.join(sorted({t.partition('.')[0] + '.' for t in types}))}")
    output.line(f'note: no type of event begins with "{type_}"; {hint}', out=sys.stderr)


async def _events(call: Call, asked: dict[str, str], limit: int | None) -> tuple[list[AuditRecord], int]:
    """All that match, or the newest `limit`."""
    if limit is not None:
        return await _newest(call, asked, limit)
    events: list[AuditRecord] = []
    after: int | None = 0
    revision = 0
    while after is not None:
        page = (await call.api.get("/v1/admin/events", after=after, limit=_PAGE, **asked)).read(Audit)
        events += page.events
        after, revision = page.next, page.revision
    return events, revision


async def _newest(call: Call, asked: dict[str, str], limit: int) -> tuple[list[AuditRecord], int]:
    """Pages from the end of the log backwards, until there are enough: each ends before the oldest that is known."""
    pages: list[list[AuditRecord]] = []
    wanted, revision = limit, 0
    while wanted:
        most = min(wanted, _PAGE)
        page = (await call.api.get("/v1/admin/events", limit=most, newest="true", **asked)).read(Audit)
        revision = revision or page.revision
        pages.append(page.events)
        if len(page.events) < most or page.events[0].seq == 1:
            break
        wanted -= most
        asked = asked | {"until": str(page.events[0].seq - 1)}
    return [event for page in reversed(pages) for event in page], revision


async def _follow(call: Call, asked: dict[str, str]) -> None:
    if not (await call.api.get("/v1/admin/status")).read(Status).is_serving:
        raise unreachable("nobody serves this network: nothing will happen in it", "innerd serve, then follow")
    names = await _named(call)
    async for line in call.api.follow("/v1/admin/events", follow="true", **asked):
        event = msgspec.json.decode(line, type=AuditRecord)
        if call.as_json:
            output.compact(msgspec.Raw(line))
        else:
            _learn(names, event)
            output.line(audit_line(event, names))
        sys.stdout.flush()


def moment_of(text: str | None) -> str | None:
    """A revision as it is; a time of this host's clock, or how long ago, as RFC 3339. Raises Failure."""
    if text is None or text.isdecimal():
        return text
    now = datetime.now(UTC)
    try:
        if _AGO.fullmatch(text):
            return (now - timedelta(seconds=duration(text, least=0))).isoformat()
        time = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise usage(
            f'"{text}" is neither a time, a revision nor how long ago',
            'write "2026-03-01 12:00", 4711 or 2h',
            "invalid_time",
        ) from None
    if time > now:
        raise usage(f'"{text}" lies in the future', None, "invalid_time")
    return time.isoformat()


def audit_line(event: AuditRecord, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """One event as a line: revision, time, who and from where, what, old and new. `names` are what peers and CIDRs are
    called, by what the log calls them."""
    data = msgspec.json.decode(event.data)
    was, name = data.pop("was", None), data.pop("name", None)
    details = [
        f"{key}={_in_words(key, value, names)}"
        for key, value in data.items()
        if key not in _TECHNICAL and value is not None
    ]
    if event.type.endswith((".renamed", "_changed", ".overridden", ".override_cleared")):
        now = name if event.type.endswith(".renamed") else data.get("endpoint", "none")
        details = [f"{was or 'none'} -> {now}"]
    if event.type.startswith("association."):
        ends = (data["cidr_id_1"], data["cidr_id_2"])
        details = [" <=> ".join(names.get(f"cidr:{number}", f"cidr:{number}") for number in ends)]
    who = f"{event.actor_name} ({event.origin})" if event.origin else event.actor_name
    called = names.get(event.subject, name) if event.type.endswith(".renamed") else name or names.get(event.subject)
    subject = f"{called} ({event.subject})" if called else event.subject
    if event.type.startswith("record."):
        owner = f"peer:{data['peer']}"
        details.insert(0, f"of {names.get(owner, owner)}")
    when = event.at[:23].replace("T", " ") + "Z"
    return f"{event.seq:>6}  {when}  {who}  {event.type}  {subject}  {' '.join(details)}".rstrip()


def _in_words(key: str, value: object, names: Mapping[str, str]) -> object:
    """Times as dates, CIDRs by their names; all else as it is."""
    if key == "parent":
        return names.get(f"cidr:{value}", value)
    return output.moment(value).replace(" ", "T") if key in _TIMES and isinstance(value, int) else value


_CONVERGENCE = ("NAME", "STATE", "APPLIED", "AT")


@verb("convergence", lists=_CONVERGENCE)
async def convergence(call: Call) -> None:
    """Which peers have applied the newest change, and which have not."""
    found = (await call.api.get("/v1/admin/convergence")).read(Convergence)
    if call.as_json:
        output.document({"revision": found.revision, "peers": found.peers})
        return
    rows = [
        (peer.name, peer.state, "" if peer.applied is None else str(peer.applied), output.moment(peer.applied_at))
        for peer in found.peers
    ]
    output.table(_CONVERGENCE, rows, empty="There is no peer yet.")


@verb("set-endpoint", click.argument("endpoint"), changes=True)
async def set_endpoint(call: Call, endpoint: str) -> None:
    """Tell all peers where they reach the coordinator from now on."""
    await call.network()  # the change is decided on what is now
    reply = await call.change("PUT", "/v1/admin/endpoint", {"endpoint": endpoint})
    if reply:
        call.tell({"endpoint": endpoint, "revision": reply.revision}, f"Peers reach the coordinator at {endpoint} now.")


_RELAYING = click.option("--peer", help="The peer that relays (default: the coordinator).")


async def _relays(call: Call, peer: str | None, method: str, said: str, if_peer: str = "") -> None:
    network = await call.network()
    found = peer_named(network, peer if peer is not None else str(COORDINATOR))
    reply = await call.change(method, f"/v1/admin/relays/{found.id}")
    if reply:
        more = if_peer if found.id != COORDINATOR else ""
        call.tell({"peer": found.name, "revision": reply.revision}, f"{found.name} {said}{more}.")


@verb("allow-relay", _RELAYING, changes=True)
async def allow_relay(call: Call, peer: str | None) -> None:
    """Let the coordinator, or a peer, relay for those that have no other way to each other. It can read nothing of
    it."""
    agrees = ", if its own config agrees ([relay] serve = true)"
    await _relays(call, peer, "PUT", "relays now for those who have no other way to each other", agrees)


@verb("disallow-relay", _RELAYING, changes=True)
async def disallow_relay(call: Call, peer: str | None) -> None:
    """Relay no more: who has no other way to each other has none then."""
    await _relays(call, peer, "DELETE", "relays no more")


@verb(
    "why",
    click.argument("peer"),
    click.argument("other", required=False),
    click.option("--at", help="As it was then: a time, a revision, or how long ago."),
)
async def why(call: Call, peer: str, other: str | None, at: str | None) -> None:
    """Whether two peers see each other, by which rule, since when and by whose hand (one peer: this machine and it)."""
    asked = {"a": peer, "b": other, "at": moment_of(at)}
    found = (await call.api.get("/v1/why", **{k: v for k, v in asked.items() if v is not None})).read(Why)
    way = _way(found) if at is None and found.sees else None
    if call.as_json:
        document: dict[str, object] = msgspec.to_builtins(found)
        output.document(document if way is None else document | {"way": way})
        return
    output.line(f"{found.text} (revision {found.revision})")
    if found.since is not None:
        when = found.since.at[:19].replace("T", " ") + "Z"
        output.line(f"  since {when}: event {found.since.seq}, {found.since.type}, by {found.since.actor_name}")
    if found.since_before is not None:
        output.line(f"  since before revision {found.since_before}, which is as far as the coordinator remembers")
    if way is not None:
        tried = f" (tried {', '.join(way.tried)})" if way.tried and way.path_missing else ""
        via = f" via {way.via}" if way.via else ""
        output.line(f"  path: {way.path}{via}{f' by {way.endpoint}' if way.path != 'none' else ''}{tried}")
        if way.path_missing:
            output.line(f"    {way.path_missing}")


def status_or_failure(connect: Connect, settings: Settings, network: str) -> Status | Failure:
    """How a coordinator says that its network is, or why it does not."""

    async def asked() -> Status:
        async with connect(settings, network) as api:
            return (await api.get("/v1/admin/status")).read(Status)

    try:
        return run(asked())
    except Failure as failure:
        return failure


class Way(msgspec.Struct, kw_only=True):
    """How this machine reaches the other peer, and if not, why."""

    path: str
    endpoint: str | None
    tried: list[str]
    path_missing: str | None
    last_handshake: float | None
    via: str | None = None


def _way(found: Why) -> Way | None:
    """None where this is the coordinator, neither peer is this machine, or no agent runs."""
    context: Any = click.get_current_context()
    look = context.meta.get(WAY)
    return look(found.a, found.b) if look is not None else None


VERBS = [audit, convergence, why]
