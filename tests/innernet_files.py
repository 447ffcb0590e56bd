"""The files of an innernet-server 2.0.0 as its specification draws them: schema, config, and a small network."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.world import key, private_key

SCHEMA = """
CREATE TABLE cidrs (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, ip TEXT NOT NULL, prefix INTEGER NOT NULL,
  parent INTEGER REFERENCES cidrs, UNIQUE(ip, prefix),
  FOREIGN KEY (parent) REFERENCES cidrs (id) ON UPDATE RESTRICT ON DELETE RESTRICT);
CREATE TABLE peers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, ip TEXT NOT NULL UNIQUE, public_key TEXT NOT NULL UNIQUE,
  endpoint TEXT, cidr_id INTEGER NOT NULL, is_admin INTEGER DEFAULT 0 NOT NULL, is_disabled INTEGER DEFAULT 0 NOT NULL,
  is_redeemed INTEGER DEFAULT 0 NOT NULL, invite_expires INTEGER, candidates TEXT,
  FOREIGN KEY (cidr_id) REFERENCES cidrs (id) ON UPDATE RESTRICT ON DELETE RESTRICT);
CREATE TABLE associations (
  id INTEGER PRIMARY KEY, cidr_id_1 INTEGER NOT NULL, cidr_id_2 INTEGER NOT NULL, UNIQUE(cidr_id_1, cidr_id_2),
  FOREIGN KEY (cidr_id_1) REFERENCES cidrs (id) ON UPDATE RESTRICT ON DELETE RESTRICT,
  FOREIGN KEY (cidr_id_2) REFERENCES cidrs (id) ON UPDATE RESTRICT ON DELETE RESTRICT);
PRAGMA user_version = 2;
"""
LATER = 4_000_000_000  # seconds since 1970


class Server:
    """innernet-server's two files for the network `ferment`, to be spoilt by a test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.config, self.database = folder / "ferment.conf", folder / "ferment.db"
        self.config.write_text(
            f'private-key = "{private_key("coordinator")}"\nlisten-port = 51820\n'
            'address = "10.42.0.1"\nnetwork-cidr-prefix = 16\n'
        )
        with closing(sqlite3.connect(self.database)) as database:
            database.executescript(SCHEMA)
        self.cidr(1, "ferment", "10.42.0.0/16", None)
        self.cidr(2, "innernet-server", "10.42.0.1/32")
        self.cidr(3, "humans", "10.42.128.0/17")
        self.cidr(5, "cats", "10.42.3.0/24")
        self.peer(
            1, "innernet-server", "10.42.0.1", 2, public_key=key("coordinator"), is_admin=1, endpoint="192.0.2.1:51820"
        )
        self.peer(2, "ryo", "10.42.128.7", 3, is_admin=1)
        self.peer(4, "mari", "10.42.128.8", 3, endpoint="198.51.100.9:4000", candidates='["192.168.1.4:51820"]')
        self.peer(9, "tama", "10.42.3.1", 5, is_redeemed=0, invite_expires=LATER)
        self.do("INSERT INTO associations VALUES (3, 5, 3)")

    def do(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute(statement, values)

    def cidr(self, number: int, name: str, block: str, parent: int | None = 1) -> None:
        address, _, prefix = block.partition("/")
        self.do("INSERT INTO cidrs VALUES (?, ?, ?, ?, ?)", number, name, address, int(prefix), parent)

    def peer(self, number: int, name: str, ip: str, cidr: int, **columns: Any) -> None:
        values = {"public_key": key(name), "is_admin": 0, "is_disabled": 0, "is_redeemed": 1} | columns
        row = {"id": number, "name": name, "ip": ip, "cidr_id": cidr} | values
        self.do(f"INSERT INTO peers ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values())

    def set(self, table: str, number: int, **columns: Any) -> None:
        given = ", ".join(f"{name} = ?" for name in columns)
        self.do(f"UPDATE {table} SET {given} WHERE id = ?", *columns.values(), number)

    def drop(self, column: str) -> None:
        self.do(f"ALTER TABLE peers DROP COLUMN {column}")


def arguments(server: Server) -> list[str]:
    """What takes it over, asking nothing."""
    return ["import-innernet", "--config", str(server.config), "--database", str(server.database), "--yes"]
