"""`make demo`: the network kermpany on this machine, with real tunnels, walked through with the two commands.

    switch ── coordinator   10.99.0.1   innerd
           ├─ ryo           10.99.0.2   inn, humans, admin
           ├─ mari          10.99.0.3   inn, humans
           ├─ toaster       10.99.0.4   inn, ovens      humans and ovens are associated
           ├─ kiln          10.99.0.5   inn, ovens
           └─ tama          10.99.0.6   inn, cats       associated with nobody

Each host is a network namespace with files, processes and an /etc of its own. Exit status 0 only if every step held.
"""

import json
import re
import sys
import time
from datetime import datetime

from tests.netns import steps
from tests.netns.lab import BIN, Failed, Host, Lab, lab, wait_for
from tests.netns.steps import NETWORK

MEMBERS = {"ryo": "humans", "mari": "humans", "toaster": "ovens", "kiln": "ovens", "tama": "cats"}
TOGETHER = {"ryo", "mari", "toaster", "kiln"}  # see each other; tama sees the coordinator only
COORDINATOR = "innernet-server"
API = "10.42.0.1"


def title(text: str) -> None:
    say(f"\n=== {text}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def held(what: str, truth: object = True) -> None:
    """A step that must hold; the demo ends where one does not."""
    if not truth:
        raise Failed(what)
    say(f"  ok: {what}")


def typed(host: Host, command: str, status: int = 0, most: int = 30) -> str:
    """Run a command as a user types it, and show what it says."""
    say(f"{host.name}# {command}")
    done = host.ask("bash", "-c", command)
    lines = (done.stdout + done.stderr).rstrip().splitlines()
    for line in lines[:most]:
        say(f"    {line}")
    if len(lines) > most:
        say(f"    … and {len(lines) - most} lines more")
    if done.returncode != status:
        raise Failed(f"{command}: exit status {done.returncode}, not {status}")
    return done.stdout


def found(coordinator: Host) -> None:
    title("A coordinator, and the first peer")
    typed(
        coordinator,
        f"innerd new --network-name {NETWORK} --network-cidr 10.42.0.0/16"
        f" --external-endpoint {coordinator.address}:51820 --listen-port 51820",
    )
    typed(coordinator, f"innerd add-cidr {NETWORK} --name humans --cidr 10.42.128.0/17 --parent {NETWORK}")
    typed(
        coordinator,
        f"innerd add-peer {NETWORK} --name ryo --cidr humans --auto-ip --admin true"
        " --invite-expires 14d --save-config ryo.toml",
    )
    serve(coordinator)


def serve(coordinator: Host) -> None:
    say(f"coordinator# innerd serve {NETWORK} &")
    before = steps.said(coordinator, "innerd.log")
    steps.serve(coordinator)
    for line in steps.said(coordinator, "innerd.log")[len(before) :].splitlines():
        say(f"    {line}")


def carry(giver: Host, taker: Host) -> None:
    """Hand an invitation over, by a safe way: here, a copy."""
    file = f"{taker.name}.toml"
    taker.path(f"/run/.lab/{file}").write_bytes(giver.path(f"/run/.lab/{file}").read_bytes())


def join(host: Host) -> None:
    typed(host, f"inn install {host.name}.toml --default-name --delete-invite")
    say(f"{host.name}# inn up -d {NETWORK} &")
    steps.agent(host)


def grow(ryo: Host) -> None:
    title("Ryo administers, over the tunnel")
    typed(ryo, f"inn add-cidr {NETWORK} --name ovens --cidr 10.42.64.0/24 --parent {NETWORK}")
    typed(ryo, f"inn add-cidr {NETWORK} --name cats --cidr 10.42.3.0/24 --parent {NETWORK}")
    for name, cidr in MEMBERS.items():
        if name != "ryo":
            typed(
                ryo,
                f"inn add-peer {NETWORK} --name {name} --cidr {cidr} --auto-ip --admin false"
                f" --invite-expires 14d --save-config {name}.toml",
            )
    typed(ryo, f"inn add-association {NETWORK} humans ovens --yes")
    typed(ryo, f"inn list-cidrs {NETWORK} --tree")


def check_sight(hosts: dict[str, Host]) -> None:
    title("Who should reach whom does, by name; who should not does not")
    steps.converged(hosts["coordinator"])
    addresses = {name: steps.status(hosts[name])["ip"] for name in MEMBERS}
    for one in MEMBERS:
        seen = set(steps.shown(hosts[one])) - {one}
        expected = {COORDINATOR} | (TOGETHER - {one} if one in TOGETHER else set())
        held(f"inn show on {one}: {', '.join(sorted(seen))}", seen == expected)
        for other in sorted(expected):
            steps.reaches(hosts[one], f"{other}.{NETWORK}.wg")
        held(f"{one} pings by name: {', '.join(f'{other}.{NETWORK}.wg' for other in sorted(expected))}")
        for other in sorted(set(MEMBERS) - expected - {one}):
            nowhere = steps.resolves(hosts[one], f"{other}.{NETWORK}.wg") is None
            silent = not steps.pings(hosts[one], addresses[other])
            held(f"{one} neither resolves nor reaches {other} ({addresses[other]})", nowhere and silent)
    typed(hosts["ryo"], f"ping -c 1 mari.{NETWORK}.wg")
    typed(hosts["ryo"], f"inn show {NETWORK} --tree")


def check_dns(hosts: dict[str, Host]) -> None:
    title("DNS answers from inside, and differently by asker")
    for name, expected in (("ryo", "NOERROR"), ("tama", "NXDOMAIN")):
        text = typed(hosts[name], f"dig @{API} mari.{NETWORK}.wg +noall +comments +answer | grep -v '^$'")
        held(f"{name} is told {expected}", f"status: {expected}" in text)


def check_disable(hosts: dict[str, Host]) -> None:
    title("A peer is disabled: gone from every device and every name")
    key = steps.own_key(hosts["mari"])
    watched = [hosts[name] for name in ("coordinator", "ryo", "toaster", "kiln")]
    held("mari's key is on the devices of all who see her", all(key in steps.device_keys(host) for host in watched))
    pressed = time.time()
    process = hosts["ryo"].start("inn", "disable-peer", NETWORK, "--name", "mari", "--yes", log="/run/.lab/disable")
    say(f"ryo# inn disable-peer {NETWORK} --name mari --yes")
    wait_for(lambda: not any(key in steps.device_keys(host) for host in watched), "mari to be gone from all devices")
    gone = time.time()
    held("the command ended with 0", process.wait() == 0)
    event = json.loads(hosts["coordinator"].run("innerd", "audit", NETWORK, "--type", "peer.disabled", "--json"))
    written = datetime.fromisoformat(event["events"][-1]["at"]).timestamp()
    held(
        f"gone from every device {1000 * (gone - written):.0f} ms after the event was written"
        f" ({1000 * (gone - pressed):.0f} ms after Enter, the start of the command included)"
    )
    left = [h.name for h in watched[1:] if steps.resolves(h, f"mari.{NETWORK}.wg") or "mari" in steps.shown(h)]
    held("gone from every hosts file and every inn show", not left)
    held("gone from DNS", steps.answered(hosts["ryo"], API, f"mari.{NETWORK}.wg")[0] == "NXDOMAIN")
    wait_for(lambda: "disabled" in str(steps.status(hosts["mari"])["trouble"]), "mari to know why")
    typed(hosts["mari"], f"inn status {NETWORK} | grep coordinator")


def check_audit(hosts: dict[str, Host]) -> None:
    title("The log knows who did it all")
    text = typed(hosts["coordinator"], f"innerd audit {NETWORK} | cut -c 1-150", most=40)
    held("ryo's hand is in it", re.search(r"ryo \(10\.42\.128\.1\)  peer\.disabled  mari", text))


def check_metrics(hosts: dict[str, Host]) -> None:
    title("Metrics, for peers that may read them")
    text = typed(
        hosts["ryo"],
        f"curl -s http://{API}:51820/metrics | grep -E '^innerd_(peers|event_log|stream_sub|dns_resp.*_total)'",
    )
    held("ryo, an admin, reads them", "innerd_event_log_last_sequence" in text)
    code = typed(hosts["tama"], f"curl -s -o /dev/null -w '%{{http_code}}\\n' http://{API}:51820/metrics")
    held("tama may not", code.strip() == "401")


def check_crash(hosts: dict[str, Host]) -> None:
    title("The coordinator is killed: tunnels go on, and nothing is lost")
    coordinator = hosts["coordinator"]
    before = steps.revision(coordinator)
    say("coordinator# kill -KILL $(pgrep -f 'innerd serve')")
    steps.kill(coordinator, "innerd serve")
    for one, other in (("ryo", "toaster"), ("kiln", "ryo")):
        steps.reaches(hosts[one], f"{other}.{NETWORK}.wg")
        held(f"{one} still reaches {other}.{NETWORK}.wg")
    serve(coordinator)
    held(f"the log goes on at revision {before}", steps.revision(coordinator) == before)
    reconnected = {name for name in MEMBERS if name != "mari"}
    wait_for(lambda: asked_streams(coordinator) == len(reconnected) or None, "the agents to connect again", seconds=30)
    held("all agents are back")
    typed(hosts["coordinator"], f"innerd enable-peer {NETWORK} --name mari")
    steps.reaches(hosts["toaster"], f"mari.{NETWORK}.wg", seconds=30)
    held("mari, enabled again, is reached by toaster")
    typed(coordinator, f"innerd status {NETWORK}")


def asked_streams(coordinator: Host) -> int:
    return int(steps.asked(coordinator, "innerd", "status", NETWORK)["streams"])


def walk(made: Lab) -> None:
    hosts = {name: made.host(name) for name in ("coordinator", *MEMBERS)}
    found(hosts["coordinator"])
    title("Ryo joins")
    carry(hosts["coordinator"], hosts["ryo"])
    join(hosts["ryo"])
    grow(hosts["ryo"])
    title("The others join")
    for name in MEMBERS:
        if name != "ryo":
            carry(hosts["ryo"], hosts[name])
            join(hosts[name])
    check_sight(hosts)
    check_dns(hosts)
    check_disable(hosts)
    check_audit(hosts)
    check_metrics(hosts)
    check_crash(hosts)


def main() -> int:
    if not steps.is_root():
        sys.stderr.write("error: the demo makes network namespaces, and needs root [not_root]\n")
        return 6
    began = time.monotonic()
    say(f"{NETWORK}: a coordinator and {len(MEMBERS)} peers, with innerd and inn of {BIN}")
    try:
        with lab() as made:
            walk(made)
    except (Failed, AssertionError) as error:
        say(f"\nTHE DEMO FAILED: {error}")
        return 1
    title(f"Everything held, and everything is cleaned up again ({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
