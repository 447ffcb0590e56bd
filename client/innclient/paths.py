"""Where everything of an interface lies."""

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from innerd.command.settings import Settings


class Paths(Struct, frozen=True):
    """Where the files of one interface are."""

    interface: str
    config_dir: Path
    data_dir: Path
    runtime_dir: Path

    @property
    def config(self) -> Path:
        return self.config_dir / f"{self.interface}.toml"

    @property
    def data(self) -> Path:
        return self.data_dir / self.interface

    @property
    def joining(self) -> Path:
        """The new key of an installation under way."""
        return self.data / "joining.toml"

    @property
    def netmap(self) -> Path:
        return self.data / "netmap.json"

    @property
    def pins(self) -> Path:
        return self.data / "pins.json"

    @property
    def checkpoints(self) -> Path:
        """What the coordinator signed of its log, and the key that signs."""
        return self.data / "checkpoints.json"

    @property
    def head(self) -> Path:
        """How far the log was seen. It lives beside the pins, as it is believed as they are."""
        return self.data / "head.json"

    @property
    def last(self) -> Path:
        """Our port, and where peers were reached."""
        return self.data / "last.json"

    @property
    def journal(self) -> Path:
        """What this peer was told, in words."""
        return self.data / "events.jsonl"

    @property
    def resolver(self) -> Path:
        """What the host's resolver was told, to be undone."""
        return self.data / "resolver.json"

    @property
    def socket(self) -> Path:
        return self.runtime_dir / f"{self.interface}.sock"

    @property
    def lock(self) -> Path:
        return self.runtime_dir / f"{self.interface}.lock"


def paths_of(settings: "Settings", interface: str) -> Paths:
    from innerd.domain.values import parse_interface

    return Paths(parse_interface(interface), settings.config_dir, settings.data_dir, settings.runtime_dir)


def installed(settings: "Settings") -> list[str]:
    """The interfaces that are installed here; to who may not look into the config folder, those with an agent."""
    try:
        return sorted(path.stem for path in settings.config_dir.iterdir() if path.suffix == ".toml")
    except FileNotFoundError:
        return []
    except PermissionError:
        running = sorted(path.stem for path in settings.runtime_dir.glob("*.sock"))
        if not running:
            raise
        return running
