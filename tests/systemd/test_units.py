"""The systemd units, under a systemd booted as PID 1 in a throw-away container on this machine's own tree."""

import subprocess
from pathlib import Path

import pytest

from tests.netns.lab import BIN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BOOT = ROOT / "tests/tools/run-in-systemd"

# What runs inside. The interpreter may live in a home folder here, which the units hide: a drop-in shows it.
_PREPARE = f"""
set -e
ln -sf {BIN}/innerd {BIN}/inn /usr/local/bin/
cp {ROOT}/deploy/systemd/*.service /run/systemd/system/
for unit in innerd inn; do
  mkdir -p /run/systemd/system/$unit@.service.d
  printf '[Service]\\nProtectHome=no\\n' > /run/systemd/system/$unit@.service.d/home.conf
done
systemctl daemon-reload
innerd new --network-name kermpany --network-cidr 10.42.0.0/16 --external-endpoint 127.0.0.1:51820 --listen-port 51820
"""


def booted(script: str) -> str:
    """Run a script as root under systemd; what it says. It must end with 0."""
    done = subprocess.run(
        [str(BOOT), "-t", "120", "bash", "-c", _PREPARE + script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_coordinator_is_ready_when_systemd_thinks_so_and_its_tunnel_outlives_a_restart() -> None:
    said = booted("""
systemctl start innerd@kermpany
innerd status kermpany | grep serving
before=$(pgrep wireguard-go)
systemctl restart innerd@kermpany
systemctl stop innerd@kermpany
[ "$before" = "$(pgrep wireguard-go)" ] && echo the tunnel stayed
grep innernet-server.kermpany.wg /etc/hosts
journalctl -u innerd@kermpany --no-pager | grep -cE 'error|Traceback' || true
""")
    assert "serving: yes" in said
    assert "the tunnel stayed" in said
    assert said.splitlines()[-2:] == ["10.42.0.1 innernet-server.kermpany.wg", "0"]


def test_a_network_that_is_not_there_is_said_and_not_tried_again() -> None:
    said = booted("""
systemctl start innerd@nosuch || true
systemctl show -p ActiveState -p ExecMainStatus innerd@nosuch
journalctl -u innerd@nosuch --no-pager | grep network_not_found
""")
    assert "ActiveState=failed" in said
    assert "ExecMainStatus=4" in said


def test_the_agent_is_a_service_too() -> None:
    """Its network can't be joined from the coordinator's own host; a config is enough to start from."""
    said = booted("""
innerd add-cidr kermpany --name humans --cidr 10.42.128.0/17 --parent kermpany >/dev/null
innerd add-peer kermpany --name ryo --cidr humans --auto-ip --admin false --invite-expires 1d --save-config - > /tmp/i
mkdir -m 700 /etc/inn
(umask 077; sed 's/kermpany"/peer"/' /tmp/i > /etc/inn/peer.toml)
systemctl start inn@peer
inn status peer | grep agent
systemctl stop inn@peer
pgrep -a wireguard-go
""")
    assert "agent: runs" in said
    assert "wireguard-go peer" in said
