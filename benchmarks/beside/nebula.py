"""Nebula: a lighthouse in the place of a coordinator; certificates, signed beforehand, in that of invitations."""

import json

from benchmarks.beside.mesh import OTHERS
from tests.netns import steps
from tests.netns.lab import Host

FOLDER = "/run/.lab/nebula"
COMMAND = f"{OTHERS}/nebula -config {FOLDER}/config.json"


class Nebula:
    name = "Nebula"
    server_processes = member_processes = (COMMAND,)

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._lighthouse = ""

    @staticmethod
    def is_here() -> bool:
        return (OTHERS / "nebula").exists()

    def found(self, server: Host) -> None:
        server.path(FOLDER).mkdir()
        self._certify(server, "ca", "-name", "bench", "-out-key", "ca.key", "-out-crt", "ca.crt")
        self._lighthouse = server.address
        self._sign(server, server)
        self._configure(server, is_lighthouse=True)
        self.start(server)

    def _certify(self, server: Host, *arguments: str) -> None:
        server.run("env", "-C", FOLDER, f"{OTHERS}/nebula-cert", *arguments)

    def _sign(self, server: Host, host: Host) -> None:
        number = len(self._addresses) + 1
        self._addresses[host.name] = f"10.43.0.{number}"
        names = ("-out-key", f"{host.name}.key", "-out-crt", f"{host.name}.crt")
        self._certify(server, "sign", "-name", host.name, "-networks", f"10.43.0.{number}/16", *names)
        host.path(FOLDER).mkdir(exist_ok=True)
        of = server.path(FOLDER)
        for source, target in ((f"{host.name}.key", "host.key"), (f"{host.name}.crt", "host.crt"), *[("ca.crt",) * 2]):
            contents = (of / source).read_bytes()
            (host.path(FOLDER) / target).write_bytes(contents)

    def _configure(self, host: Host, *, is_lighthouse: bool = False) -> None:
        """As its example has it, with everything let through, and holes punched from both sides."""
        everything = [{"port": "any", "proto": "any", "host": "any"}]
        config = {
            "pki": {"ca": f"{FOLDER}/ca.crt", "cert": f"{FOLDER}/host.crt", "key": f"{FOLDER}/host.key"},
            "static_host_map": {"10.43.0.1": [f"{self._lighthouse}:4242"]},
            "lighthouse": {
                "am_lighthouse": is_lighthouse,
                "interval": 60,
                "hosts": [] if is_lighthouse else ["10.43.0.1"],
            },
            "listen": {"host": "0.0.0.0", "port": 4242},
            "punchy": {"punch": True, "respond": True},
            "tun": {"dev": "nebula1", "mtu": 1300},
            "firewall": {"outbound": everything, "inbound": everything},
        }
        host.path(f"{FOLDER}/config.json").write_text(json.dumps(config))  # which is YAML, too

    def invite(self, server: Host, host: Host) -> None:
        self._sign(server, host)
        self._configure(host)

    def join(self, host: Host) -> None:
        self.start(host)

    def start(self, host: Host) -> None:
        host.start(*COMMAND.split(), log="/run/.lab/nebula.log")

    def stop(self, host: Host) -> None:
        steps.kill(host, COMMAND)

    def address(self, host: Host) -> str:
        return self._addresses[host.name]
