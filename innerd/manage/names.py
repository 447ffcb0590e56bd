"""What a shell is offered of a network on its coordinator's host."""

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from innerd.command.settings import Settings


def known(settings: "Settings", network: str, what: str) -> list[str]:
    """The peers, CIDRs or records of a network, for a shell to offer: from the tables beside its log."""
    import sqlite3

    kept = {
        "peers": "SELECT name FROM peers WHERE is_retired = 0",
        "cidrs": "SELECT name FROM cidrs",
        "records": "SELECT name FROM records",
    }
    path = settings.data_dir / f"{network}.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.05)) as connection:
        return [row[0] for row in connection.execute(kept[what])]
