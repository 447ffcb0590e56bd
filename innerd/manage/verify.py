"""Signed checkpoints held against a log: its own, or a backup's."""

from pathlib import Path

from msgspec import Struct

from innerd import config as configuration
from innerd.command.notes import notes_in, notes_of
from innerd.config import Config, Paths
from innerd.failure import TRUST, Failure, not_found
from innerd.host import toml
from innerd.log.verify import Elsewhere, Tampered, Verified, hold
from innerd.manage.backup import network_of, verified
from innerd.wire.checkpoint import parse
from innerd.wire.note import text_of


class Checked(Struct, frozen=True):
    """A log that holds, and how many checkpoints are its own. `key` is the verifier key that signed them; None: there
    is no private key from which it would follow, and signatures were not looked at."""

    verified: Verified
    key: str | None
    checkpoints: int


def checked(paths: Paths, file: Path | None, remembered: tuple[int, str] | None, notes: Path | None) -> Checked:
    """Verify a network's log, or a backup, and hold the checkpoints in a file against it. Raises Failure, Refused."""
    found_notes = [] if notes is None else notes_in(notes)
    checkpoints = [parse(text_of(note)) for note in found_notes]
    found = verified(file or paths.database, remembered, {checkpoint.revision for checkpoint in checkpoints})
    config = _config(paths, file, is_needed=notes is not None)
    by = None if config is None else configuration.signer_of(config, found.network_id).verifier
    if by is not None and notes is not None:
        notes_of(notes, by)
    for checkpoint in checkpoints:
        try:
            hold(found, checkpoint, is_whole=file is None)
        except Tampered as error:
            hint = "note and log together are the proof: keep both, and look for a backup that has what was signed"
            raise Failure(TRUST, "log_forked", f"{file or paths.database}: {error}", hint) from None
        except Elsewhere as error:
            what = f"revision {checkpoint.revision} of generation {checkpoint.generation} can't be compared"
            raise not_found("no_common_checkpoint", f"{what}: {error}", "take a log or backup that has it") from None
    return Checked(found, None if by is None else str(by), len(checkpoints))


def _config(paths: Paths, file: Path | None, *, is_needed: bool) -> Config | None:
    """Where the private key is from which the checkpoints' follows: in the backup, else on this host. Raises Failure
    for a config that can't be read, where it is needed: a log can be verified without."""
    if file is not None:
        try:
            kept = network_of(file)[1]
            return toml.parse(kept or "", Config, str(file))
        except Failure:
            pass  # a log without its config, or that without its key
    try:
        return configuration.load(paths) if paths.config.exists() else None
    except Failure:
        if is_needed:
            raise
        return None
