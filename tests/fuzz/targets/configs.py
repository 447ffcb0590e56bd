"""The two configuration files, the client's and the coordinator's: read, or refused with a sentence about the file."""

import contextlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from innclient import config as clients
from innerd import config as coordinators
from innerd.failure import Failure
from tests.client.test_config import CLIENTS, COORDINATORS

SEEDS = [CLIENTS.encode(), COORDINATORS.encode()]
WORDS = [
    *(line.encode() for line in (CLIENTS + COORDINATORS).splitlines() if line),
    *(
        b"[agent]\n",
        b"[[agent]]\n",
        b"mtu = ",
        b"dns = ",
        b"1979-05-27",
        b"00:00:00",
        b"0x",
        b'"""',
        b"'''",
        b"= {",
        b"a.b.c = 1\n",
    ),
]


@cache
def _folder() -> tuple["TemporaryDirectory[str]", Path]:
    made = TemporaryDirectory(prefix="innerd-fuzz-")
    return made, Path(made.name)


def check(data: bytes) -> None:
    folder = _folder()[1]
    file = folder / "kermpany.toml"
    file.touch(0o600)
    file.write_bytes(data)
    for load in (
        lambda: clients.load(clients.Paths("kermpany", folder, folder, folder)),
        lambda: coordinators.load(coordinators.Paths("kermpany", folder, folder, folder)),
    ):
        with contextlib.suppress(Failure):
            load()
