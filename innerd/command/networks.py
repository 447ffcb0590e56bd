"""The networks that this host knows, by the files of the program: as they are called, and as they may be meant."""

import contextlib
from pathlib import Path

from innerd.command.near import did_you_mean


def installed(config_dir: Path, runtime_dir: Path) -> dict[str, Path]:
    """The networks of this host by interface, with their files; to who may not look there, those with a socket."""
    with contextlib.suppress(OSError):
        found = {path.stem: path for path in config_dir.iterdir() if path.suffix == ".toml"}
        return dict(sorted(found.items()))
    return {path.stem: path for path in sorted(runtime_dir.glob("*.sock"))}


def interface_of(here: dict[str, Path], name: str) -> str | None:
    """The interface of a network that is called by either name, if exactly one is."""
    if name in here:
        return name
    called = [interface for interface, path in here.items() if _network_name(path) == name]
    return called[0] if len(called) == 1 else None


def _network_name(path: Path) -> str | None:
    """As the config of an interface says it."""
    import tomllib

    with contextlib.suppress(OSError, ValueError):
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("interface")
        return section.get("network-name") if isinstance(section, dict) else None
    return None


def meant(config_dir: Path, runtime_dir: Path, name: str, otherwise: str) -> str:
    """A hint for who named a network that is not here."""
    return did_you_mean(name, installed(config_dir, runtime_dir)) or otherwise
