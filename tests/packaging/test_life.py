"""The life of an installation under systemd: a network, a peer, an upgrade with tunnels up, removal, purge."""

import pytest

from tests.packaging.built import booted, deb

pytestmark = pytest.mark.slow

NEXT = "0.1.0-2"


def test_an_upgrade_restarts_the_services_and_no_ping_through_the_tunnel_is_lost() -> None:
    said = booted(f"""
install {deb()}
new; systemctl enable --now innerd@kermpany 2> /dev/null; join
daemons=$(pgrep -x wireguard-go | sort); innerd=$(systemctl show -P MainPID innerd@kermpany)
inn=$(systemctl show -P MainPID inn@away)
far env --default-signal=INT ping -i 0.05 -W 1 10.42.0.1 > /tmp/ping.log &
install {deb(NEXT)}
dpkg-query -W -f '${{Version}}\\n' innerd
[ "$daemons" = "$(pgrep -x wireguard-go | sort)" ] && echo the same tunnels
[ $(systemctl show -P MainPID innerd@kermpany) != $innerd ] && [ $(systemctl show -P MainPID inn@away) != $inn ] \\
  && echo both services anew
await says 'connected' inn status away
sleep 0.5; pkill -INT -x ping; wait
grep loss /tmp/ping.log
innerd show kermpany | grep ryo
systemctl is-active innerd@kermpany inn@away
""")
    assert NEXT in said
    assert "the same tunnels\nboth services anew\n" in said
    assert " 0% packet loss" in said
    assert said.endswith("active\nactive\n")


def test_what_was_not_running_is_not_started_by_an_upgrade() -> None:
    said = booted(f"""
install {deb()}; new
systemctl start innerd@kermpany; systemctl stop innerd@kermpany
install {deb(NEXT)}
systemctl is-active innerd@kermpany || true
""")
    assert said == "inactive\n"


def test_a_removal_stops_the_services_and_leaves_tunnels_and_keys() -> None:
    said = booted(f"""
install {deb()}
new; systemctl enable --now innerd@kermpany 2> /dev/null
dpkg --remove innerd 2>&1 | grep 'still up'
pgrep -x innerd || echo no innerd
ip -br link show kermpany | cut -d' ' -f1
ls /etc/innerd /var/lib/innerd | grep -c kermpany
[ ! -e /usr/lib/innerd ] && echo no program
""")
    assert "the tunnel kermpany is still up" in said
    assert said.splitlines()[-4:-2] == ["no innerd", "kermpany"]
    assert said.endswith("no program\n")


_LEFT = """
ls /sys/class/net; ls -d /run/innerd /run/inn /etc/systemd/system/*/innerd@* 2> /dev/null || true
grep -c kermpany /etc/hosts || true
ls -d /etc/innerd/* /var/lib/innerd/*.db 2> /dev/null || echo no keys
"""


def test_a_purge_that_nobody_can_answer_keeps_keys_and_logs_and_they_work_again() -> None:
    said = booted(f"""
install {deb()}
new; systemctl enable --now innerd@kermpany 2> /dev/null; await grep -q kermpany /etc/hosts
dpkg --purge innerd < /dev/null | grep kept
{_LEFT}
install {deb()}
systemctl start innerd@kermpany; innerd status kermpany | grep serving
""")
    assert "kept, for they hold keys and logs: /etc/innerd /var/lib/innerd" in said
    assert said.splitlines()[1:-1] == ["lo", "0", "/etc/innerd/kermpany.toml", "/var/lib/innerd/kermpany.db"]
    assert "serving: yes" in said


@pytest.mark.parametrize(
    ("purge", "keeps"),
    [
        ("INNERD_PURGE_KEYS=yes dpkg --purge innerd < /dev/null", False),
        ("touch /etc/innerd/purge-keys; dpkg --purge innerd < /dev/null", False),
        ("unset DEBIAN_FRONTEND; echo yes | script -qec 'dpkg --purge innerd' /dev/null", False),
        ("unset DEBIAN_FRONTEND; echo no | script -qec 'dpkg --purge innerd' /dev/null", True),
        ("echo yes | script -qec 'dpkg --purge innerd' /dev/null", True),
    ],
    ids=["by the environment", "by a file", "by an answer", "not by another answer", "not noninteractively"],
)
def test_a_purge_deletes_keys_where_the_administrator_says_so(purge: str, keeps: bool) -> None:
    said = booted(f"install {deb()}\nnew; {purge} > /dev/null\n{_LEFT}")
    assert said.splitlines()[:2] == ["lo", "0"]
    assert ("no keys" not in said) == keeps
