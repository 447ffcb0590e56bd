"""The verbs of `innerd` about its files: verify, backup, restore, rebuild, import-innernet."""

import os
import pwd
from pathlib import Path

import click

from innerd.admin.verb import Call, verb
from innerd.command import output, prompt
from innerd.command.options import Command, configure_logs, json_flag, require_root
from innerd.command.settings import settings_of
from innerd.config import Paths, paths_of
from innerd.domain.values import whole_number
from innerd.failure import usage

_FILE = click.Path(dir_okay=False, path_type=Path)


def user() -> str:
    """The local user, as the log calls it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _remembered(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    revision, _, head = text.partition(":")
    number = whole_number(revision)
    if number is None or len(head) != 64:
        raise usage(f'"{text}" is no head', "write REVISION:HASH, as inn status and verify print it", "invalid_head")
    return number, head


@click.command("verify", cls=Command)
@click.argument("network")
@click.option("--file", type=_FILE, help="A backup, in place of the network's own log.")
@click.option("--remembered", metavar="REVISION:HASH", help="A head that was seen before: the log must go on from it.")
@click.option("--checkpoint", type=_FILE, help="Signed checkpoints (inn verify --export): the log must be theirs.")
@json_flag()
@click.pass_context
def verify(
    context: click.Context, network: str, file: Path | None, remembered: str | None, checkpoint: Path | None
) -> None:
    """Walk the hash chain of the log, served or not. Exit status 7 where a record is not what was written, or where
    another log than this one was signed."""
    from innerd.manage.verify import checked
    from innerd.serve import heads

    settings = settings_of(context)
    require_root("innerd verify")
    paths = paths_of(settings, network)
    path = file or paths.database
    known = _remembered(remembered) or (heads.remembered(path) if file is None else None)
    result = checked(paths, file, known, checkpoint)
    found = result.verified
    if settings.as_json:
        document = {"events": found.events, "head": found.head, "network_id": found.network_id, "file": str(path)}
        output.document(document | {"checkpoints": result.checkpoints, "checkpoint_key": result.key})
        return
    output.line(f"{path} holds: {found.events} events, none of them changed")
    output.line(f"  head {found.events}:{found.head}")
    if checkpoint is not None:
        signed = f"signed by {result.key}" if result.key else "SIGNATURES NOT LOOKED AT: there is no private key here"
        output.line(f"  {result.checkpoints} checkpoints are of this log, {signed}")


@click.command("backup", cls=Command)
@click.argument("network")
@click.argument("file", type=_FILE)
@click.option("--without-keys", is_flag=True, help="Leave the coordinator's private key out.")
@json_flag()
@click.pass_context
def backup(context: click.Context, network: str, file: Path, without_keys: bool) -> None:
    """Write the log and the config into one private file, while serving or not; verified before it is in place."""
    from innerd.config import load
    from innerd.manage import backup

    settings = settings_of(context)
    require_root("innerd backup")
    paths = paths_of(settings, network)
    load(paths)
    made = backup.backup(paths, file, with_keys=not without_keys)
    if settings.as_json:
        output.document({"file": str(file), "events": made.events, "head": made.head, "with_keys": not without_keys})
        return
    what = "without the coordinator's key" if without_keys else "with the coordinator's private key: keep it safe"
    output.line(f"{made.events} events written to {file}, {what}.")
    output.line(f"  head {made.events}:{made.head}")


@click.command("restore", cls=Command)
@click.argument("file", type=_FILE)
@json_flag()
@click.pass_context
def restore(context: click.Context, file: Path) -> None:
    """Put a backup in place, here or on a new host. Nothing that is there is overwritten."""
    from innerd.manage import backup

    settings = settings_of(context)
    require_root("innerd restore")
    configure_logs(settings)
    network, kept = backup.network_of(file)
    restored = backup.restore(file, paths_of(settings, network), kept, user())
    if settings.as_json:
        output.document(restored)
        return
    output.line(
        f'Network "{restored.network}" is here again: {restored.events} events, generation {restored.generation}.'
    )
    output.line(f"Clients will be told, and take everything anew. Next: innerd serve {restored.network}")


@verb("rebuild")
async def rebuild(call: Call) -> None:
    """Make the tables that SQL users read anew from the log, and say in how many rows they differed; where the file is
    damaged, all of it but the log's records."""
    reply = await call.api.change("POST", "/v1/admin/rebuild")
    found = reply.read(dict)
    if call.as_json:
        output.document(found)
        return
    differing = found["differing"]
    if found["damage"] is not None:
        output.line(f"THE DATABASE WAS DAMAGED ({found['damage']}).")
        output.line("Everything but its records is made anew; none of them was lost. See to the disk.")
    elif differing:
        output.line(f"{differing} ROWS WERE NOT WHAT THE LOG SAYS. They are now; find out who wrote to the database.")
    else:
        output.line("0 rows differed: the tables are what the log says.")


@click.command("import-innernet", cls=Command)
@click.option("--config", "config_file", type=_FILE, required=True, help="innernet-server's config file, NAME.conf.")
@click.option("--database", type=_FILE, required=True, help="innernet-server's database, NAME.db.")
@click.option("--dry-run", is_flag=True, help="Say what would come, and write nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_flag()
@click.pass_context
def import_innernet(context: click.Context, config_file: Path, database: Path, dry_run: bool, yes: bool) -> None:
    """Take over a network from innernet-server. Stop that first; its files are only read."""
    from innerd.log.codec import Who
    from innerd.manage import create, from_innernet

    settings = settings_of(context)
    require_root("innerd import-innernet")
    configure_logs(settings)
    taken = from_innernet.read(config_file, database)
    paths: Paths = paths_of(settings, taken.network.name)
    if not settings.as_json:
        counts = f"{len(taken.network.peers)} peers, {len(taken.network.cidrs)} CIDRs"
        output.line(f'"{taken.network.name}": {counts}, {len(taken.network.associations)} associations')
        for note in taken.notes:
            output.line(f"  note: {note}")
    if not dry_run:
        prompt.confirm(f'Take over network "{taken.network.name}"?', yes=yes)
        create.begin(paths, taken.config, taken.command, Who(f"local:{user()}", "innerd import-innernet"))
    if settings.as_json:
        output.document(from_innernet.as_json(taken.network) | {"notes": list(taken.notes), "dry_run": dry_run})
    elif dry_run:
        output.line("nothing was written")
    else:
        output.line(f"Taken over. innernet's clients go on as they are. Next: innerd serve {taken.network.name}")


VERBS = [verify, backup, restore, rebuild, import_innernet]
