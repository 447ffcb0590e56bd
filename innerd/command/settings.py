"""What the global flags say."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from innerd.wireguard.backend import BackendName


class Settings:
    """What the global flags say; one object a process."""

    def __init__(self, program: str, config_dir: str = "", data_dir: str = "", runtime_dir: str = "") -> None:
        self.program = program
        prefix = program.upper()
        self.config_dir = Path(os.environ.get(f"{prefix}_CONFIG_DIR") or config_dir or f"/etc/{program}")
        self.data_dir = Path(os.environ.get(f"{prefix}_DATA_DIR") or data_dir or f"/var/lib/{program}")
        self.runtime_dir = Path(os.environ.get(f"{prefix}_RUNTIME_DIR") or runtime_dir or f"/run/{program}")
        self.backend: BackendName = "auto"
        self.mtu: int | None = None
        self.no_routing = False
        self.verbose = 0
        self.log_format = "text"
        self.as_json = False


def settings_of(context: "click.Context") -> Settings:
    settings = context.find_object(Settings)
    assert settings is not None  # noqa: S101 - the group makes it
    return settings
