"""`innerd verify --checkpoint`: what was signed is held against the log of today and against backups. The stand-alone
verifier comes to the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from innerd.config import load as load_config
from innerd.config import signer_of
from innerd.log.verify import verify_file
from innerd.serve import heads
from innerd.wire.checkpoint import Checkpoint, sign, signer
from tests import keeping as here
from tests.client.commands import Host
from tests.keeping import NETWORK, paths

VERIFIER = Path(__file__).parent.parent / "deploy" / "verify-log.py"


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with a network, and two backups of it, with and without the key."""
    host = here.found(tmp_path_factory.mktemp("checking"))
    host.ok("backup", NETWORK, str(host.folder / "all.db"))
    host.ok("backup", NETWORK, str(host.folder / "keyless.db"), "--without-keys")
    return host


@pytest.fixture
def host(original: Host, tmp_path: Path) -> Host:
    return here.copied(original, tmp_path / "host")


def head_of(host: Host, generation: int = 1, file: Path | None = None) -> Checkpoint:
    found = verify_file(file or paths(host).database)
    return Checkpoint(found.network_id, generation, found.events, found.head)


def noted(host: Host, *checkpoints: Checkpoint) -> Path:
    """A file with notes that the coordinator's key signed."""
    file = host.folder / "seen.note"
    by = signer_of(load_config(paths(host)), checkpoints[0].network_id)
    file.write_text("\n".join(sign(by, checkpoint) for checkpoint in checkpoints))
    return file


def theirs(database: Path, note: Path) -> int:
    command = [sys.executable, str(VERIFIER), str(database), str(note)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_what_was_signed_is_of_the_log(host: Host) -> None:
    before = head_of(host)
    host.ok("add-cidr", NETWORK, "--name", "ovens", "--cidr", "10.42.64.0/24", "--parent", NETWORK)
    note = noted(host, before, head_of(host))
    said = host.ok("verify", NETWORK, "--checkpoint", str(note))
    key = str(signer_of(load_config(paths(host)), before.network_id).verifier)
    assert said.splitlines()[-1] == f"  2 checkpoints are of this log, signed by {key}"
    document = host.json("verify", NETWORK, "--checkpoint", str(note))
    assert (document["checkpoints"], document["checkpoint_key"]) == (2, key)
    assert host.json("verify", NETWORK)["checkpoint_key"] == key
    assert theirs(paths(host).database, note) == 0


def test_a_log_that_was_forked_is_not_the_one_that_was_signed(original: Host, host: Host, tmp_path: Path) -> None:
    other = here.copied(original, tmp_path / "other")
    for where, name in ((host, "ovens"), (other, "stoves")):
        where.ok("add-cidr", NETWORK, "--name", name, "--cidr", "10.42.64.0/24", "--parent", NETWORK)
    note = noted(other, head_of(other))
    done = host("verify", NETWORK, "--checkpoint", str(note))
    assert (done.status, done.code) == (7, "log_forked")
    assert "note and log together are the proof" in done.err
    assert theirs(paths(host).database, note) == 7


def test_a_log_that_ends_before_what_was_signed_was_cut_but_a_backup_is_just_older(host: Host) -> None:
    old, backup = paths(host).database.read_bytes(), host.folder / "all.db"
    host.ok("add-cidr", NETWORK, "--name", "ovens", "--cidr", "10.42.64.0/24", "--parent", NETWORK)
    note = noted(host, head_of(host))
    done = host("verify", NETWORK, "--file", str(backup), "--checkpoint", str(note))
    assert (done.status, done.code) == (4, "no_common_checkpoint")
    paths(host).database.write_bytes(old)
    done = host("verify", NETWORK, "--checkpoint", str(note))
    assert (done.status, done.code) == (7, "log_tampered")  # the head beside it says so, before the note does
    heads.path_of(paths(host).database).unlink()
    done = host("verify", NETWORK, "--checkpoint", str(note))
    assert (done.status, done.code) == (7, "log_forked")


def test_generations(host: Host, tmp_path: Path) -> None:
    """A restore keeps the key. What was signed before it still counts, so far as the backup went."""
    early = head_of(host)
    host.ok("add-cidr", NETWORK, "--name", "ovens", "--cidr", "10.42.64.0/24", "--parent", NETWORK)
    lost = head_of(host)
    (tmp_path / "new").mkdir()
    new = Host(tmp_path / "new", "innerd")
    new.ok("restore", str(host.folder / "all.db"))
    later = head_of(new, generation=2)
    assert later.revision == lost.revision
    outcomes = {
        "before the restore": (early, 0, 0),
        "of the new generation": (later, 0, 0),
        "what the restore took back": (lost, 4, 2),
        "of a generation that is not yet": (Checkpoint(early.network_id, 3, *(10, "0" * 64)), 7, 7),
        "of the new generation, before it began": (Checkpoint(early.network_id, 2, early.revision, early.hash), 7, 2),
        "another hash": (Checkpoint(early.network_id, 1, early.revision, "0" * 64), 7, 7),
    }
    for what, (checkpoint, ours, other) in outcomes.items():
        note = noted(new, checkpoint)
        assert new("verify", NETWORK, "--checkpoint", str(note)).status == ours, what
        assert theirs(paths(new).database, note) == other, what


def test_the_key_comes_from_the_backup_or_from_the_host_and_without_one_that_is_said(host: Host) -> None:
    note = noted(host, head_of(host))
    forged = host.folder / "forged.note"
    forged.write_text(sign(signer(bytes(32), head_of(host).network_id), head_of(host)))
    for file in ("all.db", "keyless.db"):
        where = ("verify", NETWORK, "--file", str(host.folder / file), "--checkpoint")
        assert "signed by innerd/" in host.ok(*where, str(note))
        assert host(*where, str(forged)).code == "checkpoint_unsigned"
    paths(host).config.unlink()
    assert "signed by innerd/" in host.ok(
        "verify", NETWORK, "--file", str(host.folder / "all.db"), "--checkpoint", str(note)
    )
    assert "SIGNATURES NOT LOOKED AT" in host.ok(*where, str(forged))


def test_files_that_are_none_and_other_networks(host: Host) -> None:
    other = host.folder / "other.note"
    other.write_text(sign(signer(bytes(32), "ff" * 16), Checkpoint("ff" * 16, 1, 1, "0" * 64)))
    assert host("verify", NETWORK, "--checkpoint", str(other)).code == "invalid_checkpoint"
    assert theirs(paths(host).database, other) == 2
    other.write_text("nothing of the kind\n")
    assert host("verify", NETWORK, "--checkpoint", str(other)).code == "invalid_checkpoint"
    assert theirs(paths(host).database, other) == 2
    assert host("verify", NETWORK, "--checkpoint", str(host.folder / "none")).code == "file_not_found"


def test_a_broken_config_keeps_no_log_from_being_verified(host: Host) -> None:
    note = noted(host, head_of(host))
    paths(host).config.write_text("private-key = 7")
    assert host.json("verify", NETWORK)["checkpoint_key"] is None
    assert host("verify", NETWORK, "--checkpoint", str(note)).code == "config_invalid"
