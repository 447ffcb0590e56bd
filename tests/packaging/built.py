"""What is packed, built once a run; and scripts under a booted systemd that has it at hand."""

import atexit
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

ROOT = Path(__file__).parents[2]
BOOT = ROOT / "tests/tools/run-in-systemd"
CLEAN = ROOT / "tests/tools/clean-tree"
_OUT = Path(mkdtemp(prefix="innerd-packages-", dir="/var/tmp"))
atexit.register(shutil.rmtree, _OUT, ignore_errors=True)


def run(*command: str | Path, timeout: float = 300) -> str:
    """What a command says. It must end with 0."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def deb(version: str = "", architecture: str = "") -> Path:
    """The package; under another version, the same with that version; for this machine's architecture, or another."""
    chosen = ["--version", version] if version else []
    chosen += ["--architecture", architecture] if architecture else []
    return Path(run(sys.executable, "deploy/debian/build.py", "--out", _OUT, *chosen, timeout=900).splitlines()[-1])


@cache
def wheel() -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", _OUT)
    return next(_OUT.glob("*.whl"))


# `await` waits for a state. ryo's machine is the namespace `far`, and its interface `away`: one host has one of a name.
_TOOLS = """
set -e
export DEBIAN_FRONTEND=noninteractive
await() { for i in $(seq 200); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; echo "never: $*"; exit 1; }
says() { local wanted=$1; shift; "$@" 2>&1 | grep -q -- "$wanted"; }
install() { dpkg -i "$1" > /tmp/dpkg.log 2>&1 || { cat /tmp/dpkg.log; exit 1; }; }
new() { innerd new --network-name kermpany --network-cidr 10.42.0.0/16 --external-endpoint 192.0.2.1:51820 \\
  --listen-port 51820 > /dev/null; }
far() { ip netns exec far "$@"; }
join() {
  ip netns add far; ip link add v0 type veth peer name v1 netns far
  ip addr add 192.0.2.1/24 dev v0; ip link set v0 up; ip -n far addr add 192.0.2.2/24 dev v1
  ip -n far link set v1 up; ip -n far link set lo up
  innerd add-cidr kermpany --name humans --cidr 10.42.128.0/17 --parent kermpany > /dev/null
  innerd add-peer kermpany --name ryo --cidr humans --auto-ip --admin false --invite-expires 1d \\
    --save-config /tmp/ryo.toml > /dev/null
  mkdir -p /run/systemd/system/inn@away.service.d
  printf '[Service]\\nNetworkNamespacePath=/run/netns/far\\n' > /run/systemd/system/inn@away.service.d/far.conf
  systemctl daemon-reload
  far inn install /tmp/ryo.toml --name away --delete-invite > /dev/null
  systemctl enable --now inn@away 2> /dev/null
  await far ping -c 1 -W 1 10.42.0.1; }
"""


def booted(script: str) -> str:
    """Run a script as root under systemd, on a throw-away copy of this machine; what it says."""
    return run(BOOT, "-t", "170", "bash", "-c", _TOOLS + script, timeout=200)
