"""What tests of the running client share: where its files lie, a session of a world's peer, a wait."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from innclient import config
from innclient.agent.session import Choices, Session
from innclient.agent.tunnel import Making, Tunnel
from innclient.names.publisher import NameSettings
from innclient.paths import Paths
from innerd.admin.invitation import InterfaceSection, ServerSection
from innerd.domain.values import endpoint_of
from innerd.wireguard.memory import MemoryBackend
from tests.world import INTERFACE, World, key, private_key

COORDINATOR = "127.42.0.1"


async def eventually(condition: Callable[[], Any], what: str = "", within: float = 8.0) -> None:
    """Wait for an effect that no event tells of."""
    try:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"it never came to be: {what or condition}") from None


def paths_in(folder: Path, interface: str = INTERFACE) -> Paths:
    return Paths(interface, folder / "etc", folder / "lib", folder / "run")


def write_config(paths: Paths, name: str, ip: str, port: int, listen_port: int | None = None, **agent: Any) -> None:
    """The config of a peer whose coordinator listens on a port of the loopback."""
    document = config.document(
        InterfaceSection(
            network_name=INTERFACE, address=f"{ip}/16", private_key=private_key(name), listen_port=listen_port
        ),
        ServerSection(
            public_key=key("coordinator"),
            external_endpoint="192.0.2.1:51820",
            internal_endpoint=endpoint_of(COORDINATOR, port),
        ),
        private_key(name),
    )
    for option, value in agent.items():
        setattr(document.agent, option, value)
    config.save(paths, document)


def session_at(folder: Path, name: str, ip: str, port: int, **choices: Any) -> Session:
    """A session with its files in a folder and its device in memory."""
    paths = paths_in(folder)
    folder.mkdir(exist_ok=True)
    hosts = folder / "hosts"
    write_config(paths, name, ip, port, choices.pop("listen_port", None), hosts_path=str(hosts))
    fields: dict[str, Any] = {
        "names": NameSettings(path=hosts, suffix=None),
        "making": Making(mtu=1280, try_endpoints=choices.pop("try_endpoints", True)),
        "report_candidates": False,
    }
    tunnel = choices.pop("tunnel", None) or Tunnel(MemoryBackend(), INTERFACE)
    return Session(paths, config.load(paths), tunnel, Choices(**fields | choices))


def session_of(world: World, name: str, folder: Path, port: int, **choices: Any) -> Session:
    return session_at(folder, name, str(world.peer(name).ip), port, **choices)


def on_device(session: Session) -> set[str]:
    """The keys on a session's device."""
    return set(session.tunnel.get().peers)


def hosts_of(session: Session) -> str:
    path = session.choices.names.path
    return path.read_text() if path.exists() else ""
