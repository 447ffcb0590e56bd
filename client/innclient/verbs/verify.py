"""`inn verify`: what the coordinator signed of its log, as this machine saw it and as another did."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from innclient import config
from innclient.paths import paths_of
from innerd.command import output
from innerd.command.notes import notes_of
from innerd.command.options import Command, json_flag, require_root
from innerd.command.settings import Settings, settings_of
from innerd.failure import TRUST, Failure, not_found, usage

if TYPE_CHECKING:
    from innclient.core.status import CheckpointsView
    from innclient.core.witness import Compared, Seen
    from innerd.wire.note import Verifier


@click.command("verify", cls=Command)
@click.argument("interface")
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--export", is_flag=True, help="Print the signed notes as they are, to hand to somebody else.")
@json_flag()
@click.pass_context
def verify(context: click.Context, interface: str, files: tuple[str, ...], export: bool) -> None:
    """Compare the log's checkpoints that this machine saw with each other, and with those that others saw (files of
    `--export`; - is stdin). Exit status 7 where two can't be of one log."""
    from innclient.core.witness import compared
    from innerd.wire.note import parse_verifier

    settings = settings_of(context)
    if export and (files or settings.as_json):
        raise usage("--export prints notes and nothing else: neither FILE nor --json goes with it")
    view = _view(settings, interface)
    if not view.kept:
        hint = "they come when it connects; a coordinator of an older release signs none"
        raise not_found("no_checkpoint", f"{interface} was shown no checkpoint of the log yet", hint)
    ours = [seen.note for seen in (*view.kept, *view.forks)]
    if export:
        sys.stdout.write("\n".join(ours))
        return
    by = parse_verifier(view.key)
    theirs = [note for file in files for note in notes_of(file, by)]
    found = compared(by, ours, theirs)
    differ = _told_otherwise(view, by, theirs)
    if settings.as_json:
        output.document(_document(view, by, found))
    else:
        _show(view, by, files, found)
    if found.contradictions or differ:
        raise _forked(found, differ)
    if files and not found.same:
        raise _nothing_in_common(by, ours, theirs)


def _view(settings: Settings, interface: str) -> "CheckpointsView":
    """From the agent, else from the files, for which one must be root."""
    from innclient.agent import store
    from innclient.agent.asking import ask_agent
    from innclient.core.status import CheckpointsView, checkpoints_view

    paths = paths_of(settings, interface)
    found = ask_agent(paths, "checkpoints", CheckpointsView)
    if found is not None:
        return found
    require_root("inn verify without a running agent")
    config.load(paths)
    return checkpoints_view(interface, store.load_netmap(paths)[0], store.load_witnessed(paths))


def _told_otherwise(view: "CheckpointsView", by: "Verifier", theirs: list[str]) -> str | None:
    """Where this machine was told another hash than was signed for another."""
    from innerd.wire.checkpoint import read

    for their in (read(note, by) for note in theirs):
        if their.at == (view.generation, view.revision) and their.hash != view.head:
            return f"revision {their.revision} of generation {their.generation} was told otherwise here"
    return None


def _forked(found: "Compared", differ: str | None) -> Failure:
    if not found.contradictions:
        return Failure(TRUST, "log_forked", f"the log was forked: {differ}", "ask your administrator before you go on")
    first = found.contradictions[0]
    what = f"revision {first.revision} of generation {first.generation} was signed twice, with different hashes"
    hint = "the two notes together are the proof, to whoever has the verifier key: keep both, ask your administrator"
    return Failure(TRUST, "log_forked", f"the log was forked: {what}", hint)


def _nothing_in_common(by: "Verifier", ours: list[str], theirs: list[str]) -> Failure:
    from innerd.wire.checkpoint import read

    own, other = ([read(note, by).at for note in notes] for notes in (ours, theirs))
    message = f"no revision in common: here {_span(own)}, there {_span(other)}"
    if max(own)[0] != max(other)[0]:
        hint = "a restore lies between; if both are connected now, the log is forked, as no log has two generations"
    else:
        hint = "let both be connected for two minutes and try again; or innerd verify --checkpoint, with log or backup"
    return not_found("no_common_checkpoint", message, hint)


def _span(places: Iterable[tuple[int, int]]) -> str:
    first, last = min(places := list(places)), max(places)
    return f"{first[0]}.{first[1]}" if first == last else f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"


def _document(view: "CheckpointsView", by: "Verifier", found: "Compared") -> dict[str, Any]:
    import msgspec

    return {
        "interface": view.interface,
        "network": view.network,
        "key": view.key,
        "told": {"generation": view.generation, "revision": view.revision, "hash": view.head},
        "checkpoints": [_entry(seen, by) for seen in view.kept],
        "forks": [_entry(seen, by) for seen in view.forks],
        "same": [{"generation": generation, "revision": revision} for generation, revision in found.same],
        "contradictions": msgspec.to_builtins(found.contradictions),
    }


def _entry(seen: "Seen", by: "Verifier") -> dict[str, Any]:
    from innerd.wire.checkpoint import read

    checkpoint = read(seen.note, by)
    place = {"generation": checkpoint.generation, "revision": checkpoint.revision, "hash": checkpoint.hash}
    return place | {"at": seen.at, "note": seen.note}


def _show(view: "CheckpointsView", by: "Verifier", files: tuple[str, ...], found: "Compared") -> None:
    newest = _entry(view.kept[-1], by)
    output.line(f"network: {view.network} on {view.interface}")
    output.line(f"  signed by: {view.key}")
    output.line(f"  checkpoints: {len(view.kept)}, since {output.moment(view.kept[0].at)}")
    place = f"revision {newest['revision']} (generation {newest['generation']})"
    output.line(f"  newest: {place}, of {output.moment(newest['at'])}; told so far: {view.revision}")
    output.line(f"    {newest['hash']}")
    if view.forks:
        output.line(f"  KEPT FROM ANOTHER LOG THAN WAS SEEN: {len(view.forks)} (inn status)")
    for contradiction in found.contradictions:
        output.line(f"  FORKED at revision {contradiction.revision} of generation {contradiction.generation}:")
        for note in (contradiction.one, contradiction.other):
            output.line("")
            for text in note.rstrip("\n").split("\n"):
                output.line(text)
        output.line("")
    if files and found.same:
        last = f"the last at revision {found.same[-1][1]} (generation {found.same[-1][0]})"
        output.line(f"  the same as {', '.join(files)}: at {len(found.same)} revisions, {last}")


VERBS = [verify]
