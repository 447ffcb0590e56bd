"""The looking verbs of `innerd` while nobody serves: for people, and in JSON with the keys of the contract."""

import re

from tests.client.commands import Host
from tests.client.conftest import NETWORK, revision


def test_peers_are_listed_with_the_keys_of_the_contract(host: Host) -> None:
    document = host.json("list-peers", NETWORK)
    assert set(document) == {"peers", "revision"}
    promised = {"id", "name", "ip", "cidr", "is_admin", "is_disabled", "is_redeemed"}
    assert all(promised <= set(peer) for peer in document["peers"])
    shown = {peer["name"]: (peer["cidr"], peer["is_admin"], peer["is_redeemed"]) for peer in document["peers"]}
    assert shown == {
        "innernet-server": ("innernet-server", True, True),
        "ryo": ("humans", True, True),
        "mari": ("humans", False, True),
        "oven": ("ovens", False, True),
        "tama": ("cats", False, False),
    }


def test_cidrs_are_listed_and_drawn(host: Host) -> None:
    document = host.json("list-cidrs", NETWORK)
    assert set(document) == {"cidrs", "revision"}
    assert [(c["name"], c["parent"], c["peers"]) for c in document["cidrs"]] == [
        (NETWORK, None, 0),
        ("innernet-server", NETWORK, 1),
        ("humans", NETWORK, 2),
        ("ovens", NETWORK, 1),
        ("cats", NETWORK, 1),
    ]
    assert "\n  10.42.128.0/17 humans\n" in host.ok("list-cidrs", NETWORK, "--tree")


def test_associations_are_listed(busy: Host) -> None:
    document = busy.json("list-associations", NETWORK)
    assert document == {"associations": [{"id": 1, "cidr1": "humans", "cidr2": "cats"}], "revision": revision(busy)}
    assert busy.ok("list-associations", NETWORK) == "1: humans <=> cats\n"


def test_a_network_without_associations_lists_none(host: Host) -> None:
    assert host.json("list-associations", NETWORK)["associations"] == []
    assert host.ok("list-associations", NETWORK) == "No CIDRs are associated.\n"


def test_show_is_the_whole_network_at_one_revision(busy: Host) -> None:
    document = busy.json("show", NETWORK)
    assert {"peers", "cidrs", "associations", "revision"} <= set(document)
    said = busy.ok("show", NETWORK)
    assert "10.42.128.1: ryo (active, admin)" in said
    assert "association: humans <=> cats" in said


def test_status_says_that_nobody_serves(host: Host) -> None:
    document = host.json("status", NETWORK)
    assert (document["is_serving"], document["revision"], document["endpoint"]) == (
        False,
        revision(host),
        "192.0.2.1:51820",
    )
    assert "serving: no" in host.ok("status", NETWORK)


def test_the_audit_says_who_did_what_to_what(host: Host) -> None:
    host.ok("rename-peer", NETWORK, "--name", "mari", "--new-name", "mari-laptop")
    document = host.json("audit", NETWORK)
    assert [event["seq"] for event in document["events"]] == list(range(1, document["revision"] + 1))
    last = document["events"][-1]
    assert (last["type"], last["actor"], last["data"]["name"]) == ("peer.renamed", "local:root", "mari-laptop")
    line = host.ok("audit", NETWORK, "--limit", "1")
    assert line.count("\n") == 1
    assert re.search(r"local:root|root", line)
    assert "peer.renamed" in line
    assert "mari -> mari-laptop" in line


def test_the_audit_is_narrowed_by_type_subject_and_actor(host: Host) -> None:
    pinned = host.json("audit", NETWORK, "--type", "key.")["events"]
    assert {event["type"] for event in pinned} == {"key.pinned"}
    assert len(pinned) == 3
    ryo = next(p["id"] for p in host.json("list-peers", NETWORK)["peers"] if p["name"] == "ryo")
    of_ryo = host.json("audit", NETWORK, "--subject", f"peer:{ryo}")["events"]
    assert [event["type"] for event in of_ryo] == ["peer.added", "key.pinned", "peer.admin_granted"]
    assert len(host.json("audit", NETWORK, "--actor", f"peer:{ryo}")["events"]) == 1


def test_convergence_lists_the_peers(host: Host) -> None:
    document = host.json("convergence", NETWORK)
    assert set(document) == {"peers", "revision"}
    assert {"ryo", "mari", "oven"} <= {peer["name"] for peer in document["peers"]}
    assert host.ok("convergence", NETWORK).startswith("NAME")
