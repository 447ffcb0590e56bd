#!/usr/bin/env python3
"""Check the hash chain of an innerd log or backup, without innerd: Python's standard library, docs/log-format.md.

    python3 verify-log.py FILE [REVISION:HASH | NOTE]

REVISION:HASH is a head that somebody saw before, NOTE a file whose first checkpoint says one (inn verify --export); the
log must go on from it. A note's signature is not looked at: Python has no Ed25519. Prints the number of events and the
head. Exit status 0: the log holds. 7: it does not; the first bad event is named. 2: usage, or a note of another network
or of a generation that a restore took back.
"""

import json
import re
import sqlite3
import sys
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

APPLICATION_ID = 0x1EE2D001


NOTE = re.compile(
    r"innerd/([0-9a-f]{32})\n([1-9][0-9]{0,14})\n([A-Za-z0-9+/]{43}=)\ngeneration ([1-9][0-9]{0,8})\n"
    r"(?:[^\n]+\n)*\n\u2014 \S+ \S+\n"
)


class Bad(Exception):
    """The log is not what was written."""


class Other(Exception):
    """What was remembered is of another log, and says nothing of this one."""


def check(rows, remembered):
    """The number of events and the head's hash. `remembered`: revision, hash, and of a note generation and network.
    Raises Bad, Other."""
    last, link, seen, generation = 0, b"", None, 1
    for seq, record, salt, chain in rows:
        if seq != last + 1:
            raise Bad(f"event {last + 1}: missing, the next one is {seq}")
        if not isinstance(record, bytes) or not isinstance(salt, bytes) or len(salt) != 16:
            raise Bad(f"event {seq}: record and salt are not text and 16 bytes")
        if not link:
            link = genesis(read(seq, record))
            if remembered and remembered[3] not in (None, read(seq, record)["data"]["id"]):
                raise Other(f"the note is of network {remembered[3]}")
        leaf = sha256(b"\x00" + salt + record).digest()
        link, last = sha256(b"\x01" + link + leaf).digest(), seq
        if link != chain:
            raise Bad(f"event {seq}: record, salt or chain is not what was written")
        if read(seq, record).get("seq") != seq:
            raise Bad(f"event {seq}: the record is another event's")
        if read(seq, record).get("type") == "log.restored":
            generation = read(seq, record)["data"]["generation"]
        if remembered and seq == remembered[0]:
            seen = chain.hex()
            if remembered[2] not in (None, generation):
                raise Other(f"event {seq} is of generation {generation}, the note of {remembered[2]}")
    if not last:
        raise Bad("event 1: missing, the log is empty")
    if remembered and remembered[0] > last:
        raise Bad(f"event {last + 1}: missing, the log ends at {last}, but {remembered[0]} was seen")
    if remembered and seen != remembered[1]:
        raise Bad(f"event {remembered[0]}: its hash is not the one that was seen, the log was forked before it")
    return last, link.hex()


def read(seq, record):
    try:
        found = json.loads(record)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Bad(f"event {seq}: the record can't be read")
    return found


def genesis(first):
    """chain_0, of the network's id in the first record."""
    data = first.get("data")
    identity = data.get("id") if isinstance(data, dict) else None
    if first.get("type") != "network.created" or not re.fullmatch("[0-9a-f]{32}", str(identity)):
        raise Bad("event 1: not the beginning of a network")
    return sha256(b"\x02" + bytes.fromhex(identity)).digest()


def head_of(argument):
    """Revision, hash, generation and network, of a head or of the file of a note; None for neither."""
    given = re.fullmatch("([1-9][0-9]{0,17}):([0-9a-fA-F]{64})", argument)
    if given:
        return int(given[1]), given[2].lower(), None, None
    note = (
        NOTE.match(Path(argument).read_text(encoding="utf-8", errors="replace")) if Path(argument).is_file() else None
    )
    return note and (int(note[2]), b64decode(note[3]).hex(), int(note[4]), note[1])


def main(arguments):
    given = head_of(arguments[1]) if len(arguments) == 2 else None
    if len(arguments) not in (1, 2) or (len(arguments) == 2 and not given) or not Path(arguments[0]).is_file():
        sys.stderr.write("usage: verify-log.py FILE [REVISION:HASH | NOTE]\n")
        return 2
    try:
        database = sqlite3.connect(Path(arguments[0]).resolve().as_uri() + "?mode=ro", uri=True)
        if database.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise Bad("not a log of innerd")
        rows = database.execute("SELECT seq, CAST(record AS BLOB), salt, chain FROM events ORDER BY seq")
        events, head = check(rows, given)
    except Other as error:
        sys.stderr.write(f"{arguments[0]}: {error}\n")
        return 2
    except (Bad, sqlite3.Error) as error:
        sys.stderr.write(f"{arguments[0]}: {error}\n")
        return 7
    sys.stdout.write(f"{events} events\nhead {events}:{head}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
