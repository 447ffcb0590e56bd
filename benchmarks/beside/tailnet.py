"""tailscaled, with Tailscale's own control server for tests in the place of a coordinator, and a relay (`control.go`).

Headscale would be the one to compare a coordinator with; the Go registry did not serve it.
"""

import json

from benchmarks.beside.mesh import OTHERS
from tests.netns import steps
from tests.netns.lab import Host, wait_for

FOLDER = "/run/.lab/tailscale"
DAEMON = f"{OTHERS}/tailscaled --statedir={FOLDER} --socket={FOLDER}/socket --no-logs-no-support"
CLIENT = f"{OTHERS}/tailscale --socket={FOLDER}/socket"


class Tailnet:
    name = "tailscaled"
    member_processes = (DAEMON,)

    def __init__(self) -> None:
        self._server = ""
        self.server_processes: tuple[str, ...] = ()

    @staticmethod
    def is_here() -> bool:
        return (OTHERS / "control").exists()

    def found(self, server: Host) -> None:
        self._server = server.address
        self.server_processes = (f"{OTHERS}/control {server.address}",)
        server.start(str(OTHERS / "control"), server.address, log="/run/.lab/control.log")
        wait_for(lambda: "serves" in steps.said(server, "control.log"), "the control server")

    def invite(self, server: Host, host: Host) -> None:
        host.path(FOLDER).mkdir()

    def join(self, host: Host) -> None:
        self.start(host)
        known = f"until [ -S {FOLDER}/socket ]; do sleep 0.02; done"
        log_in = f"{CLIENT} up --login-server=http://{self._server}:8080 --netfilter-mode=off --accept-dns=false"
        host.start("sh", "-c", f"{known}; exec {log_in} --hostname={host.name}", log="/run/.lab/up.log")

    def start(self, host: Host) -> None:
        host.start(*DAEMON.split(), log="/run/.lab/tailscaled.log")

    def stop(self, host: Host) -> None:
        steps.kill(host, DAEMON)
        host.path(f"{FOLDER}/socket").unlink(missing_ok=True)
        host.run("ip", "link", "del", "tailscale0", status=None)

    def address(self, host: Host) -> str:
        def found() -> str | None:
            done = host.ask(*CLIENT.split(), "status", "--json", "--peers=false")
            if done.returncode:
                return None
            addresses = json.loads(done.stdout).get("TailscaleIPs") or []
            return next((str(one) for one in addresses if ":" not in one), None)

        return wait_for(found, f"{host.name}'s address", 60)
