"""One target by hypothesis, with seeds that are new each time:
`python -m tests.fuzz.unguided TARGET SECONDS FOLDER`."""

import sys
import time
from hashlib import sha256
from pathlib import Path
from secrets import randbits

from tests.fuzz import http, targets
from tests.fuzz.mutating import tried
from tests.fuzz.targets import Target

_ROUND = 500  # examples


def main() -> None:
    name, seconds, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    until = time.monotonic() + seconds
    if name == http.NAME:
        while time.monotonic() < until:
            http.explore(number=randbits(32), examples=_ROUND, until=until)
        return
    target = _remembering(targets.load(name), folder / "found")
    while time.monotonic() < until:
        tried(target, max_examples=_ROUND)


def _remembering(target: Target, folder: Path) -> Target:
    """The target, which leaves the last bytes that it fell over as a file: hypothesis ends with the smallest."""
    file = folder / f"crash-{sha256(str(time.time_ns()).encode()).hexdigest()[:16]}"

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except BaseException:
            file.write_bytes(data)
            raise

    return target._replace(check=check)


main()
