"""What a host can lack or have too much of: each gets its error with its status and code, and changes nothing."""

import signal

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK

SERVE = ("innerd", "serve", NETWORK)


def refused(host: Host, *command: str) -> tuple[int, str]:
    """The exit status and the stable code of a command that must fail."""
    done = host.ask(*command, timeout=30)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, lines[0].rpartition("[")[2].rstrip("]")


@pytest.fixture
def founded(empty_lab: Lab) -> Host:
    """A host with a network that nobody serves yet."""
    host = empty_lab.host("coordinator")
    steps.found(host, "10.42.0.0/16")
    return host


def test_a_second_coordinator_on_one_database(kermpany: Kermpany) -> None:
    assert refused(kermpany.coordinator, *SERVE) == (6, "already_running")
    assert steps.revision(kermpany.coordinator) > 0


def test_a_port_in_use(founded: Host) -> None:
    founded.start("python3", "-c", "import socket,time; s=socket.socket(2,2); s.bind(('',51820)); time.sleep(99)")
    status, code = refused_when_bound(founded)
    assert (status, code) == (6, "port_in_use")
    assert founded.ask("ip", "link", "show", NETWORK).returncode != 0


def refused_when_bound(host: Host) -> tuple[int, str]:
    wait_for(lambda: "51820" in host.run("ss", "-lnu"), "the port to be taken")
    return refused(host, *SERVE)


def test_what_was_made_for_a_service_that_is_refused_goes_again(founded: Host) -> None:
    config = founded.path(f"/etc/innerd/{NETWORK}.toml")
    assert "[metrics]" in config.read_text()
    config.write_text(config.read_text().replace("[metrics]", '[metrics]\nlisten = "127.0.0.1:9586"'))
    founded.start("python3", "-c", "import socket,time; s=socket.create_server(('127.0.0.1',9586)); time.sleep(99)")
    wait_for(lambda: "9586" in founded.run("ss", "-lnt"), "the port to be taken")
    assert refused(founded, *SERVE) == (6, "port_in_use")
    assert founded.ask("ip", "link", "show", NETWORK).returncode != 0
    wait_for(lambda: not founded.pids("wireguard-go"), "its daemon to end, after its interface")
    assert not founded.path(f"/run/innerd/{NETWORK}.sock").exists()

    founded.run("innerd", "list-peers", NETWORK)  # and the log is nobody's
    config.write_text(config.read_text().replace("9586", "9587"))
    steps.serve(founded)
    steps.kill(founded, "innerd serve", signal.SIGTERM)
    config.write_text(config.read_text().replace("9587", "9586"))
    assert refused(founded, *SERVE) == (6, "port_in_use")
    founded.run("ip", "link", "show", NETWORK)  # it was there before, and peers may use it


def test_an_interface_of_that_name_that_is_somebody_elses(founded: Host) -> None:
    founded.run("ip", "link", "add", NETWORK, "type", "bridge")
    assert refused(founded, *SERVE) == (6, "interface_taken")
    assert "bridge" in founded.run("ip", "-d", "link", "show", NETWORK)


def test_no_tun_device(founded: Host) -> None:
    hide = f"mount -t tmpfs none /dev/net && exec {' '.join(SERVE)} --backend userspace"
    assert refused(founded, "unshare", "-m", "bash", "-c", hide) == (6, "no_tun")


def test_no_wireguard_at_all(founded: Host) -> None:
    hide = f"mount --bind /dev/null /usr/bin/wireguard-go && exec {' '.join(SERVE)} --backend userspace"
    assert refused(founded, "unshare", "-m", "bash", "-c", hide) == (6, "no_wireguard")


def test_not_root(founded: Host) -> None:
    as_nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    for command in (SERVE, ("innerd", "list-peers", NETWORK), ("inn", "up", NETWORK), ("inn", "fetch", NETWORK)):
        assert refused(founded, *as_nobody, *command) == (6, "not_root")


def test_a_network_that_is_there_already_is_not_touched(founded: Host) -> None:
    config = founded.path(f"/etc/innerd/{NETWORK}.toml")
    before = config.read_bytes()
    new = ("innerd", "new", "--network-name", NETWORK, "--network-cidr", "10.43.0.0/16")
    assert refused(founded, *new, "--external-endpoint", "1.2.3.4:5", "--listen-port", "5") == (3, "network_exists")
    assert config.read_bytes() == before


def test_a_config_with_a_wrong_key_names_it(founded: Host) -> None:
    config = founded.path(f"/etc/innerd/{NETWORK}.toml")
    config.write_text(config.read_text() + "\n[dns]\nenabeld = true\n")
    done = founded.ask(*SERVE)
    assert done.returncode == 2
    assert 'unknown key "enabeld" in [dns]' in done.stderr


def test_a_config_with_another_networks_key(founded: Host) -> None:
    config = founded.path(f"/etc/innerd/{NETWORK}.toml")
    lines = config.read_text().splitlines()
    other = founded.run("wg", "genkey").strip()
    config.write_text(
        "\n".join(f'private-key = "{other}"' if line.startswith("private-key") else line for line in lines)
    )
    assert refused(founded, *SERVE) == (2, "config_invalid")


def test_without_root_show_and_status_ask_the_agent(kermpany: Kermpany) -> None:
    host = kermpany.join("ryo", "humans")
    as_nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert "innernet-server" in host.run(*as_nobody, "inn", "show")
    assert "connected since" in host.run(*as_nobody, "inn", "status", NETWORK)
    assert refused(host, *as_nobody, "inn", "down", NETWORK) == (6, "not_root")


def test_requests_must_come_through_the_device(kermpany: Kermpany) -> None:
    """The coordinator's own host, and a host on the underlay that claims a peer's address, get nothing."""
    ryo = kermpany.join("ryo", "humans", "--admin", "true")
    address = steps.status(ryo)["ip"]
    url = "http://10.42.0.1:51820/v1/user/capabilities"
    key = f"X-Innernet-Server-Key: {steps.own_key_of_coordinator(kermpany.coordinator)}"
    ask = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "3", "-H", key, url)
    assert ryo.run(*ask) == "200"
    assert kermpany.coordinator.run(*ask) == "401"

    liar = kermpany.lab.host("liar")
    liar.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
    liar.run("ip", "route", "add", "10.42.0.1/32", "via", kermpany.coordinator.address, "src", address)
    kermpany.coordinator.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0")
    assert liar.ask(*ask).stdout == "000"
    before = kermpany.coordinator.run("curl", "-s", "http://10.42.0.1:51820/metrics")
    liar.ask("dig", "@10.42.0.1", kermpany.name("ryo"), "+tries=1", "+timeout=1", timeout=10)
    assert before == "" or "innerd_dns_responses_total" not in before
    metrics = ryo.run("curl", "-s", "http://10.42.0.1:51820/metrics")
    assert 'innerd_dns_responses_total{qtype="A"' not in metrics
