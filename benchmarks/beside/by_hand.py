"""An administrator's machine by hand: a device, an invitation redeemed, and no client of anybody's, so that it costs
both systems alike."""

import sys
from pathlib import Path

from benchmarks.beside.systems import parsed
from innerd.wireguard import keys
from tests.netns.lab import Host, wait_for, within

ROOT = Path(__file__).parents[2]
DEVICE = "by-hand"
_KEY = "/run/.lab/key"


class Admin:
    """Of a network whose server is on another host."""

    def __init__(self, host: Host, server: Host, invitation: str) -> None:
        self._host, self._server = host, server
        self.api, self.server_key, self._private, address = parsed(invitation)
        host.run("wireguard-go", DEVICE)
        host.path(_KEY).touch(0o600)
        self.knock()
        host.run("ip", "addr", "add", address, "dev", DEVICE)
        host.run("ip", "link", "set", DEVICE, "mtu", "1280", "up")
        self._redeem()

    def knock(self) -> None:
        """Give the device its key, and the server as a peer of which it knows nothing yet: the next packet begins a
        handshake at once."""
        self._host.path(_KEY).write_text(self._private)
        self._host.run("wg", "set", DEVICE, "peer", self.server_key, "remove")
        network = self.api.rpartition(":")[0]
        peer = (self.server_key, "allowed-ips", f"{network}/32", "endpoint", f"{self._server.address}:51820")
        self._host.run("wg", "set", DEVICE, "private-key", _KEY, "peer", *peer)

    def _redeem(self) -> None:
        own = keys.generate()
        body = f'{{"public_key":"{keys.public_key(own)}"}}'
        self._host.run(*self._curl("/v1/user/redeem", 20), "-d", body)
        self._private = own
        wait_for(self.reach, f"{self._server.name} to take the new key", 30)

    def _curl(self, path: str, seconds: int) -> tuple[str, ...]:
        header = f"X-Innernet-Server-Key: {self.server_key}"
        return ("curl", "-sf", "-m", str(seconds), "-H", header, f"http://{self.api}{path}")

    def reach(self) -> bool:
        """Whether the server answers within a while."""

        def answers() -> bool:
            self.knock()
            return self._host.ask(*self._curl("/v1/user/state", 5)).returncode == 0

        return within(answers, 30) is not None

    def add_peers(self, network_id: str | None, *, clients: int, count: int, first: int) -> float:
        """How many a second."""
        secret = () if network_id is None else (self._private, network_id)
        how = ("--clients", str(clients), "--count", str(count), "--first", str(first))
        command = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.commands")
        return float(self._host.run(*command, self.api, self.server_key, *secret, *how, timeout=120))
