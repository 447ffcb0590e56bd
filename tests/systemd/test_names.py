"""Names by systemd-resolved, for real: a booted systemd, its resolved, an uplink whose resolver writes down all that it
is asked, a coordinator in a namespace of its own, and the agent on the host."""

import subprocess
from pathlib import Path

import pytest

from tests.netns.lab import BIN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BOOT = ROOT / "tests/tools/run-in-systemd"

_WORLD = f"""
set -e
ln -sf {BIN}/innerd {BIN}/inn /usr/local/bin/
await() {{ for i in $(seq 150); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; echo "never: $*"; exit 1; }}
says() {{ local wanted=$1; shift; "$@" 2>/dev/null | grep -q -- "$wanted"; }}
wire() {{ ip link add "$1" type veth peer name v0 netns "$2"; ip addr add "$3.2/24" dev "$1"; ip link set "$1" up
  ip -n "$2" addr add "$3.1/24" dev v0; ip -n "$2" link set v0 up; ip -n "$2" link set lo up; }}
found() {{ # NAMESPACE RANGE: a network of that name, its coordinator serving; the invitation of ryo in /tmp/NAME.toml
  ip netns exec "$1" innerd new --network-name "$1" --network-cidr "$2.0.0/16" \\
    --external-endpoint "$3.1:51820" --listen-port 51820
  ip netns exec "$1" innerd add-cidr "$1" --name humans --cidr "$2.128.0/17" --parent "$1" --yes
  ip netns exec "$1" innerd serve "$1" --no-write-hosts > "/tmp/$1.log" 2>&1 & eval "served_$1=$!"
  await grep -q serves "/tmp/$1.log"
  ip netns exec "$1" innerd add-peer "$1" --name ryo --auto-ip --cidr humans --admin false --invite-expires 14d \\
    --save-config "/tmp/$1.toml" --yes; }}
agent() {{ inn up -d "$1" "${{@:2}}" > "/tmp/inn-$1.log" 2>&1 & eval "agent_$1=$!"
  await says connected inn status "$1"; }}
asks() {{ getent ahostsv4 "$1" | head -1 | cut -d' ' -f1; }}
systemctl start systemd-resolved
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
for n in net kermpany; do ip netns add $n; done
wire eth0 net 192.0.2; wire eth1 kermpany 198.51.100
ip route add default via 192.0.2.1
cat > /tmp/uplink.py <<'PY'
import socket
asked = open("/tmp/uplink.log", "a", buffering=1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as uplink:
    uplink.bind(("192.0.2.1", 53))
    while True:
        question, source = uplink.recvfrom(4096)
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode("latin-1"))
            at += 1 + question[at]
        asked.write(".".join(labels) + "\\n")
        uplink.sendto(question[:2] + b"\\x81\\x83" + question[4:6] + bytes(6) + question[12 : at + 5], source)
PY
ip netns exec net python3 /tmp/uplink.py &
await says . ip netns exec net ss -lnuH
resolvectl dns eth0 192.0.2.1; resolvectl domain eth0 '~.'
found kermpany 10.42 198.51.100 > /dev/null
inn install /tmp/kermpany.toml --name home -d > /dev/null 2>&1
set +e
"""
NAME, COORDINATOR = "ryo.kermpany.wg", "innernet-server.kermpany.wg"


def booted(script: str) -> str:
    done = subprocess.run(
        [str(BOOT), "-t", "120", "bash", "-c", _WORLD + script + "exit 0\n"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_our_names_are_answered_here_and_all_others_by_the_uplink() -> None:
    said = booted(f"""
agent home
await says resolved inn status home
for name in {NAME} {COORDINATOR}; do echo "name $(asks $name)"; done
echo "reverse $(getent hosts 10.42.0.1)"
resolvectl query --type=AAAA {NAME} 2>&1 | grep -c 'does not have any RR'
echo "absent $(asks nobody.kermpany.wg)"
asks www.example.com
resolvectl query 10.42.77.77 > /dev/null 2>&1
inn status home --json | grep names_work
echo "uplink: $(sort -u /tmp/uplink.log | tr '\\n' ' ')"
echo "hosts: $(grep -c kermpany /etc/hosts)"
""")
    assert "name 10.42.128.1\nname 10.42.0.1" in said
    assert f"reverse 10.42.0.1       {COORDINATOR}" in said
    assert "\n1\nabsent \n" in said
    assert '"names_work": true' in said
    assert "uplink: www.example.com \n" in said
    assert "hosts: 0" in said


def test_names_resolve_while_the_coordinator_is_dead_also_after_a_restart_of_the_agent() -> None:
    said = booted(f"""
agent home
await says resolved inn status home
kill -9 $served_kermpany
echo "dead $(asks {COORDINATOR})"
kill $agent_home; wait $agent_home
inn up -d home > /tmp/again.log 2>&1 &
await says resolved inn status home
echo "again $(asks {COORDINATOR})"
grep -c kermpany /tmp/uplink.log
""")
    assert "dead 10.42.0.1\nagain 10.42.0.1\n0\n" in said


def test_an_agent_that_ends_leaves_names_in_the_hosts_file_and_down_takes_all_away() -> None:
    said = booted(f"""
agent home
await says resolved inn status home
kill $agent_home; wait $agent_home
echo "ended $(asks {COORDINATOR}) $(resolvectl domain home)"
inn up home > /dev/null
inn down home
echo "down $(grep -c kermpany /etc/hosts) $(ls /var/lib/inn/home/resolver.json 2>&1 | grep -c 'No such file')"
grep -c kermpany /tmp/uplink.log
""")
    assert "ended 10.42.0.1 Link" in said
    assert "~kermpany" not in said
    assert "down 0 1\n0\n" in said


@pytest.mark.parametrize("again", ["inn up home", "inn up -d home > /tmp/again.log 2>&1 &"], ids=["once", "an agent"])
def test_what_a_killed_agent_set_is_put_right_at_the_next_start(again: str) -> None:
    said = booted(f"""
agent home
await says resolved inn status home
kill -9 $agent_home; wait $agent_home 2> /dev/null
began=$(date +%s%N); asks {COORDINATOR}
echo "failed after $(( ($(date +%s%N) - began) / 1000000000 )) s"
{again}
await says 10.42.0.1 asks {COORDINATOR}
echo "again $(asks {COORDINATOR})"
grep -c kermpany /tmp/uplink.log
""")
    assert "failed after 0 s" in said, "a name that nobody answers fails at once"
    assert "again 10.42.0.1\n0\n" in said


def test_a_link_that_is_taken_away_or_down_and_a_resolved_that_restarts_are_told_anew() -> None:
    said = booted(f"""
agent home
await says resolved inn status home
for deed in "ip link set home down" "ip link del home" "pkill -9 -f ^wireguard-go.home" \\
  "systemctl restart systemd-resolved"; do
  $deed
  await says 10.42.0.1 resolvectl query {COORDINATOR}
  await says '~kermpany.wg' resolvectl domain home
  echo "after '$deed': $(asks {COORDINATOR})"
done
""")
    assert said.count("10.42.0.1") == 4, said


def test_two_networks_on_one_host_keep_to_their_own_names() -> None:
    said = booted(f"""
ip netns add bakery; wire eth2 bakery 203.0.113
found bakery 10.77 203.0.113 > /dev/null
inn install /tmp/bakery.toml --name work --no-write-hosts -d > /dev/null 2>&1  # resolved remembers the file for 2 s
agent home; agent work
await says resolved inn status home; await says resolved inn status work
echo "$(asks {COORDINATOR}) $(asks innernet-server.bakery.wg) [$(asks ryo.work.wg)]"
inn status home | grep -o 'answered at .*'; inn status work | grep -o 'answered at .*'
inn down work
echo "$(asks {COORDINATOR}) [$(asks innernet-server.bakery.wg)]"
""")
    assert "10.42.0.1 10.77.0.1 []" in said
    assert "answered at 127.0.0.153\nanswered at 127.0.0.154" in said
    assert said.endswith("10.42.0.1 []\n")


def test_a_resolved_that_refuses_and_one_that_is_not_asked_leave_names_to_the_hosts_file() -> None:
    said = booted(f"""
agent home --dns hosts
echo "hosts $(asks {COORDINATOR}) $(grep -c kermpany /etc/hosts)"
inn down home
printf '#!/bin/sh\\necho "Failed: Access denied" >&2; exit 1\\n' > /usr/local/bin/resolvectl
chmod +x /usr/local/bin/resolvectl
agent home
await says 'Access denied' inn status home
echo "refused $(asks {COORDINATOR}) $(grep -c kermpany /etc/hosts)"
""")
    assert "hosts 10.42.0.1 2" in said
    assert "refused 10.42.0.1 2" in said
