"""Where what holds a key is written: into a new private file, or to stdout."""

import sys
from pathlib import Path

from innerd.failure import SYSTEM, Failure, usage
from innerd.host import files


class Saved:
    """A file with a key: made before the peer is, so that there is never a peer whose file can't be written. With `-`
    it goes to stdout, if it is to be shown there by itself (`is_shown`)."""

    def __init__(self, where: str, *, is_shown: bool) -> None:
        self.is_stdout = where == "-"
        self._is_shown = is_shown
        self._path = Path(where)
        self._written = False

    def __enter__(self) -> "Saved":
        if not self.is_stdout:
            try:
                files.create(self._path, b"")
            except FileExistsError:
                raise usage(f"{self._path} exists already", "choose another file", "file_exists") from None
            except OSError as error:
                raise Failure(SYSTEM, "os_error", f"{self._path} can't be written: {error.strerror}") from None
        return self

    def write(self, data: bytes) -> None:
        self._written = True
        if self.is_stdout:
            sys.stdout.write(data.decode() if self._is_shown else "")
        else:
            files.write_atomically(self._path, data)

    def __exit__(self, *exception: object) -> None:
        if not self.is_stdout and not self._written:
            self._path.unlink(missing_ok=True)
