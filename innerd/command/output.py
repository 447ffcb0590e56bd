"""How answers look on a terminal and in JSON. One place for tables, trees, times and sizes."""

import sys
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from innerd.command.styles import in_style, is_styled
from innerd.command.styles import size as size_of_terminal
from innerd.failure import usage
from innerd.terminal import json_text, printable

if TYPE_CHECKING:
    from innerd.domain.diff import Diff
    from innerd.wire.ours import NetworkCidr, NetworkJson, NetworkPeer

COLUMNS = "innclient.columns"  # in a context's meta: those that were asked for
_LAST = 253_370_764_800  # seconds: the year 9999, where calendars end


class Styled(NamedTuple):
    """A part of a line in a colour or weight (ECMA-48), where somebody looks at it."""

    text: str
    code: str


Part = str | Styled


def line(*parts: Part, out: TextIO | None = None) -> None:
    """One line, on stdout unless told otherwise. What of it came from elsewhere is escaped here, for all."""
    (out or sys.stdout).write(_shown(*parts) + "\n")


def _shown(*parts: Part) -> str:
    return "".join([printable(part) if isinstance(part, str) else _in_style(part) for part in parts])


def _in_style(part: Styled) -> str:
    text = printable(part.text)
    return in_style(text, part.code) if is_styled() else text


def document(content: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json_text(content, indent=2) + "\n")


def compact(content: Any) -> None:
    """One of many JSON documents, on a line of its own."""
    sys.stdout.write(json_text(content) + "\n")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], empty: str | None = None, on_request: Collection[str] = ()
) -> None:
    """Columns as wide as they need; no borders, so that cut and awk work. On a terminal heads are bold, columns in
    which nothing stands are left out, and no line is wider than it. Where there are no rows, `empty` says so. Columns
    that are asked for (`--columns`) are shown as they are; those `on_request` only then. Raises Failure."""
    asked = _asked(head)
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    if len(cells) == 1 and empty is not None:
        line(empty)
        return
    columns = asked or [column for column, name in enumerate(head) if name not in on_request]
    if sys.stdout.isatty() and not asked:
        columns = [column for column in columns if any(row[column] for row in cells[1:])] or columns
    cells = [[row[column] for column in columns] for row in cells]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    if sys.stdout.isatty():
        addresses = [at for at, name in enumerate(cells[0]) if name == "IP"]
        widths = _fitting(widths, size_of_terminal()[0], addresses)
        cells = [[_cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    for number, row in enumerate(cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        line(Styled(text, "1") if number == 0 else text)


def _asked(head: Sequence[str]) -> list[int]:
    """The columns that somebody asked for, in their order. Raises Failure for one that is not in this table."""
    import click

    context, names = click.get_current_context(silent=True), [name.lower() for name in head]
    asked = context.meta.get(COLUMNS, ()) if context is not None else ()
    for name in asked:
        if name not in names:
            raise usage(f'"{name}" is no column here: they are {", ".join(names)}')
    return [names.index(name) for name in asked]


def _fitting(widths: list[int], room: int, whole: Collection[int] = ()) -> list[int]:
    """Widths that fit into a line, taken from the widest, of the `whole` ones last; none is narrower than four."""
    widths = list(widths)
    for columns in ([at for at in range(len(widths)) if at not in whole], range(len(widths))):
        while sum(widths) + 2 * (len(widths) - 1) > room and (wide := [at for at in columns if widths[at] > 4]):
            widths[max(wide, key=lambda at: widths[at])] -= 1
    return widths


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def item(*parts: Part) -> None:
    """A line of a list: where somebody looks at it, no longer than the terminal is wide."""
    if not sys.stdout.isatty():
        line(*parts)
        return
    room = size_of_terminal()[0]
    fitting: list[Part] = []
    for part in parts:
        text = printable(part if isinstance(part, str) else part.text)
        cut = _cut(text, room) if room > 0 else ""
        fitting.append(cut if isinstance(part, str) else Styled(cut, part.code))
        room -= len(text)
    line(*fitting)


def moment(seconds: float | None) -> str:
    """A point in time, UTC, to the second; "never" for None. All times that are shown have this form."""
    if seconds is None or not 0 <= seconds <= _LAST:
        return "never"
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(seconds: float | None, now: float | None = None) -> str:
    """How long ago, as innernet says it."""
    if seconds is None:
        return "never"
    past = int((time.time() if now is None else now) - seconds)
    if past < 1:
        return "just now"
    if past < 60:
        return f"{past} seconds ago"
    minutes, rest = divmod(past, 60)
    if minutes < 60:
        return f"{count(minutes, 'minute')}, {rest} seconds ago"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{count(hours, 'hour')}, {count(minutes, 'minute')} ago"
    return f"{hours // 24} days ago"


def count(number: int, what: str) -> str:
    """`1 peer`, `2 peers`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size(number: int) -> str:
    """Bytes in binary units; the unit changes at twice its size, as innernet's."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 2048:
            return f"{int(value)} B" if unit == "B" else f"{value:.2f} {unit}"
        value /= 1024
    return f"{value:.2f} TiB"


def state_of(peer: "NetworkPeer", now: float) -> str:
    """A peer's place in its life, in a word or two."""
    if peer.is_disabled:
        return "disabled"
    if peer.is_redeemed:
        return "active"
    if peer.invite_expires is not None and peer.invite_expires <= now:
        return "invitation expired"
    return "invited"


def by_address(peers: "Iterable[NetworkPeer]") -> "list[NetworkPeer]":
    from ipaddress import ip_address

    return sorted(peers, key=lambda peer: int(ip_address(peer.ip)))


def tree(network: "NetworkJson", peers: bool = True) -> None:
    """The CIDRs as a tree, narrower ones below, peers where they belong."""
    below: dict[str, list[NetworkPeer]] = {}
    for peer in by_address(network.peers) if peers else ():
        below.setdefault(peer.cidr, []).append(peer)

    def walk(cidr: "NetworkCidr", depth: int) -> None:
        item("  " * depth, Styled(f"{cidr.cidr} {cidr.name}", "34"))
        for child in network.cidrs:
            if child.parent == cidr.name:
                walk(child, depth + 1)
        for peer in below.get(cidr.name, ()):
            note = state_of(peer, time.time())
            flags = ", admin" if peer.is_admin else ""
            online = {True: "◉ ", False: "◯ ", None: ""}[peer.is_online]
            item("  " * (depth + 1) + f"| {online}{peer.ip}: {peer.name} ({note}{flags})")

    for cidr in network.cidrs:
        if cidr.parent is None:
            walk(cidr, 0)


def difference(diff: "Diff") -> None:
    """What a change would do, in words."""
    for text in diff.happens:
        line(text)
    line(f"pairs that would see each other: {diff.pairs_gained}")
    for a, b in diff.gained:
        line(f"  + {a} - {b}")
    line(f"pairs that would lose sight of each other: {diff.pairs_lost}")
    for a, b in diff.lost:
        line(f"  - {a} - {b}")
    for title, names in (("names that would appear", diff.names_added), ("names that would go", diff.names_removed)):
        if names:
            line(f"{title}: {', '.join(names)}")
    for moved in diff.moved:
        line(f"{moved.peer} would move from {moved.was} to {moved.now}")
    line("nothing was changed")


def effects(diff: "Diff", would: str = "", most: int = 10) -> list[str]:
    """Who moves, and which pairs join or part, in sentences: what `would ` happen, or did."""
    said = [_several([f"{peer.peer} ({peer.was} to {peer.now})" for peer in diff.moved], len(diff.moved), most)]
    joined, parted = ([f"{a} - {b}" for a, b in pairs] for pairs in (diff.gained, diff.lost))
    said += [_several(joined, diff.pairs_gained, most), _several(parted, diff.pairs_lost, most)]
    verbs = ("moved", "see each other now", "lost sight of each other")
    if would:
        verbs = ("move", "see each other", "lose sight of each other")
    return [f"{what} {would}{verb}." for what, verb in zip(said, verbs, strict=True) if what]


def _several(names: list[str], count: int, most: int) -> str:
    """Names, and how many more there are."""
    shown = names[:most]
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")
