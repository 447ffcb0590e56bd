"""What `systemctl status` says where a service can't start or stands still, how locked in it is, and what it needs."""

import re

import pytest

from tests.packaging.built import booted, deb

pytestmark = pytest.mark.slow

_STATUS = """
systemctl start innerd@kermpany 2> /dev/null || true
systemctl status --no-pager -l innerd@kermpany || true
systemctl show -p Result -p ExecMainStatus -p NRestarts -p SubState innerd@kermpany
"""


@pytest.mark.parametrize(
    ("ailment", "says", "status"),
    [
        ("true", 'Status: "there is no network "kermpany" here (/etc/innerd/kermpany.toml) [network_not_found]', 4),
        (
            "new; printf '[dns]\\nenabeld = true\\n' >> /etc/innerd/kermpany.toml",
            'kermpany.toml, line 12: unknown key "enabeld" in [dns] [config_invalid]',
            2,
        ),
        ("new; chmod 644 /etc/innerd/kermpany.toml", "[config_mode]: chmod go= /etc/innerd/kermpany.toml", 2),
        ("new; rm /var/lib/innerd/kermpany.db", "there is no database /var/lib/innerd/kermpany.db", 4),
    ],
    ids=["no network", "a typo", "wrong modes", "no log"],
)
def test_what_trying_again_would_not_mend_is_said_with_its_fix_and_not_tried_again(
    ailment: str, says: str, status: int
) -> None:
    said = booted(f"install {deb()}\n{ailment}\n{_STATUS}")
    assert says in said
    assert f"ExecMainStatus={status}\n" in said
    assert "NRestarts=0\n" in said
    assert "SubState=failed\n" in said


def test_what_may_mend_itself_is_tried_again_no_sooner_than_after_five_seconds() -> None:
    said = booted(f"""
install {deb()}; new
python3 -c 'import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 51820))
time.sleep(99)' &
holder=$!; await says 51820 ss -lnuH
{_STATUS}
kill $holder
await systemctl is-active innerd@kermpany
systemctl show -p NRestarts innerd@kermpany
journalctl -u innerd@kermpany -o short-unix --no-pager | grep -E 'port_in_use|serves' | cut -d. -f1
""")
    assert re.search(r"Status: .*UDP port 51820.* \[port_in_use\]", said), said
    assert "NRestarts=1" in said
    failed, served = (int(line) for line in re.findall(r"^\d{9,}$", said, re.M))
    assert served - failed >= 5


def test_a_loop_that_stands_still_is_noticed_and_the_tunnel_outlives_it() -> None:
    said = booted(f"""
install {deb()}; new
mkdir -p /run/systemd/system/innerd@.service.d
printf '[Service]\\nWatchdogSec=1\\nRestartSec=1\\n' > /run/systemd/system/innerd@.service.d/soon.conf
systemctl daemon-reload; systemctl start innerd@kermpany
sleep 2.5; systemctl show -p NRestarts innerd@kermpany
daemon=$(pgrep -x wireguard-go)
kill -STOP $(systemctl show -P MainPID innerd@kermpany)
await says NRestarts=1 systemctl show -p NRestarts innerd@kermpany
await says 'serving: yes' innerd status kermpany
[ "$daemon" = "$(pgrep -x wireguard-go)" ] && echo the same tunnel
journalctl -u innerd@kermpany --no-pager | grep -oE "Watchdog timeout|Fatal Python error: Aborted" | sort
""")
    assert said == "NRestarts=0\nthe same tunnel\nFatal Python error: Aborted\nWatchdog timeout\n"


def test_a_peer_starts_where_the_coordinators_name_can_not_be_resolved_yet() -> None:
    said = booted(f"""
install {deb()}; new; systemctl start innerd@kermpany; join
systemctl stop inn@away innerd@kermpany; ip link delete kermpany; ip -n far link delete away
sed -i 's/external-endpoint = .*/external-endpoint = "vpn.invalid:51820"/' /etc/inn/away.toml
ip -n far link set v1 down
systemctl start inn@away
systemctl is-active inn@away
inn status away | grep -E 'interface|agent'
""")
    assert said.startswith("active\n  interface: up ")
    assert said.endswith("  agent: runs\n")


def test_the_services_are_locked_in_and_their_folders_private() -> None:
    said = booted(f"""
install {deb()}; new; systemctl start innerd@kermpany; join
for unit in innerd@kermpany inn@away; do systemd-analyze security --no-pager $unit | tail -1; done
stat -c '%a %U %n' /etc/innerd /var/lib/innerd /run/innerd /run/innerd/kermpany.sock /etc/inn /var/lib/inn/away \\
  /run/inn/away.sock
journalctl -u innerd@kermpany -u inn@away --no-pager | grep -iE 'error|denied|not permitted|traceback' || true
""")
    scores = [float(score) for score in re.findall(r"exposure level for \S+: ([\d.]+)", said)]
    assert len(scores) == 2
    assert max(scores) <= 3.0
    modes = dict(reversed(line.split(" root ")) for line in said.splitlines() if " root /" in line)
    assert modes == {
        "/etc/innerd": "700",
        "/var/lib/innerd": "700",
        "/run/innerd": "755",
        "/run/innerd/kermpany.sock": "600",
        "/etc/inn": "700",
        "/var/lib/inn/away": "700",
        "/run/inn/away.sock": "666",
    }
    assert said.splitlines()[-1].startswith("666"), "something was refused to a service"


def test_a_log_of_a_newer_release_is_left_alone_and_said() -> None:
    said = booted(f"""
install {deb()}; new
python3 -c 'import sqlite3; sqlite3.connect("/var/lib/innerd/kermpany.db").execute("PRAGMA user_version = 99")'
before=$(sha256sum /var/lib/innerd/kermpany.db)
{_STATUS}
[ "$before" = "$(sha256sum /var/lib/innerd/kermpany.db)" ] && echo untouched
""")
    assert re.search(r"Status: .*written by a newer release \(schema 99", said), said
    assert "NRestarts=0\n" in said
    assert said.endswith("untouched\n")


def test_a_full_disk_is_said_while_it_serves_and_until_there_is_room() -> None:
    said = booted(f"""
install {deb()}; new
aside=$(mktemp -d); cp -a /var/lib/innerd/. $aside; mount -t tmpfs -o size=2m tmpfs /var/lib/innerd
chmod 700 /var/lib/innerd; cp -a $aside/. /var/lib/innerd
systemctl start innerd@kermpany
dd if=/dev/zero of=/var/lib/innerd/filler bs=4k 2> /dev/null || true
for n in $(seq 300); do
  innerd add-cidr kermpany --name c$n --cidr 10.42.$n.0/24 --parent kermpany > /dev/null 2> /tmp/why || break
done
cat /tmp/why
await says 'LOG CAN.T BE WRITTEN' systemctl status --no-pager -l innerd@kermpany
systemctl status --no-pager -l innerd@kermpany
rm /var/lib/innerd/filler
await says 'Status: "revision' systemctl status --no-pager -l innerd@kermpany
await innerd add-cidr kermpany --name after --cidr 10.42.250.0/24 --parent kermpany
innerd verify kermpany | head -1
""")
    assert "[store_unavailable]" in said
    assert 'Status: "revision ' in said
    assert "THE LOG CAN'T BE WRITTEN, nothing can be changed: " in said
    assert "none of them changed" in said
