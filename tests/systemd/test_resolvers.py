"""Names where there is no systemd-resolved, for real: Debian's openresolv and NetworkManager, each with its dnsmasq."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.systemd.test_names import COORDINATOR, NAME, booted

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DEBS = Path(os.environ.get("KWG_CACHE", "/var/cache/kwg")) / "resolvers"


@functools.cache
def fetched() -> bool:
    if not (DEBS / "complete").exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run([ROOT / "tests/tools/resolvers-fetch"], capture_output=True, check=False)
    return (DEBS / "complete").exists()


_WITHOUT_RESOLVED = f"""
exec 2>&1
systemctl stop systemd-resolved; systemctl mask systemd-resolved
rm -f /etc/resolv.conf; echo nameserver 192.0.2.1 > /etc/resolv.conf
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
installed() {{ dpkg --force-depends -i {DEBS}/$1/*.deb > /tmp/dpkg.log 2>&1; rm /usr/sbin/policy-rc.d; }}
looked_up() {{ : > /tmp/uplink.log
  for name in {NAME} {COORDINATOR} other.example; do
    echo "$name: $(getent ahostsv4 $name | head -1 | cut -d' ' -f1)"; done
  echo "reverse: $(getent hosts 10.42.0.1 | tr -s ' ' | cut -d' ' -f2)"
  echo "the uplink heard: $(sort -u /tmp/uplink.log | grep -v 'example' | tr '\\n' ' ')"; }}
"""
_OPENRESOLV = """
installed openresolv
cat > /etc/resolvconf.conf <<X
name_servers=127.0.0.1
dnsmasq_conf=/etc/dnsmasq.d/openresolv
dnsmasq_resolv=/run/dnsmasq/resolv.conf
X
mkdir -p /run/dnsmasq
cat > /etc/dnsmasq.conf <<X
resolv-file=/run/dnsmasq/resolv.conf
conf-dir=/etc/dnsmasq.d
listen-address=127.0.0.1
bind-interfaces
X
echo nameserver 192.0.2.1 | resolvconf -a eth0.test
systemctl restart dnsmasq
"""
_NETWORK_MANAGER = """
installed network-manager
mkdir -p /etc/NetworkManager/conf.d
printf '[main]\\ndns=dnsmasq\\nplugins=keyfile\\n[keyfile]\\nunmanaged-devices=none\\n' \\
  > /etc/NetworkManager/conf.d/test.conf
systemctl start NetworkManager
nmcli connection add type ethernet ifname eth0 con-name uplink ipv4.method manual ipv4.addresses 192.0.2.2/24 \\
  ipv4.gateway 192.0.2.1 ipv4.dns 192.0.2.1 ipv6.method disabled > /dev/null
nmcli connection up uplink > /dev/null
await says 127.0.0.1 cat /etc/resolv.conf
"""


@pytest.mark.skipif(not fetched(), reason="there are no packages of openresolv and NetworkManager to be had")
@pytest.mark.parametrize(
    ("set_up", "mode"), [(_OPENRESOLV, "resolvconf"), (_NETWORK_MANAGER, "networkmanager")], ids=lambda arg: arg[:14]
)
def test_our_names_are_answered_here_and_never_heard_by_the_uplink(set_up: str, mode: str) -> None:
    said = booted(f"""{_WITHOUT_RESOLVED}{set_up}
inn up -d home > /tmp/inn-home.log 2>&1 &
for i in $(seq 300); do grep -q 'names resolve by' /tmp/inn-home.log && break; sleep 0.1; done
grep -q 'names resolve by' /tmp/inn-home.log || cat /tmp/inn-home.log
await says connected inn status home
grep -o 'names resolve by.*mode=[a-z]*' /tmp/inn-home.log | grep -o 'mode=.*'
grep -c kermpany.wg /etc/hosts
await says 10.42 getent ahostsv4 {NAME}
looked_up
inn down home > /dev/null
echo "after down: $(getent ahostsv4 {NAME} | head -1)"
grep -rl kermpany /etc/dnsmasq.d /etc/NetworkManager/dnsmasq.d /run/resolvconf /etc/hosts 2> /dev/null
""")
    lines = said.splitlines()
    assert lines[lines.index(f"mode={mode}") :] == [
        f"mode={mode}",
        "0",
        f"{NAME}: 10.42.128.1",
        f"{COORDINATOR}: 10.42.0.1",
        "other.example: ",
        f"reverse: {COORDINATOR}",
        "the uplink heard: ",
        "after down: ",
    ], said
