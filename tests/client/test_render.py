"""How things look: times and sizes as innernet says them, tables that cut and awk can read, trees, no colours."""

import json

import pytest

from innerd.command import output
from innerd.domain.diff import Diff, Moved
from innerd.wire.ours import NetworkAssociation, NetworkCidr, NetworkJson, NetworkPeer

AGES = [
    (0.0, "just now"),
    (0.99, "just now"),
    (1.0, "1 seconds ago"),
    (59.9, "59 seconds ago"),
    (60.0, "1 minute, 0 seconds ago"),
    (63.0, "1 minute, 3 seconds ago"),
    (3599.0, "59 minutes, 59 seconds ago"),
    (3600.0, "1 hour, 0 minutes ago"),
    (3600.0 + 120, "1 hour, 2 minutes ago"),
    (7200.0 + 60, "2 hours, 1 minute ago"),
    (-30.0, "just now"),
]


@pytest.mark.parametrize(("past", "said"), AGES)
def test_how_long_ago(past: float, said: str) -> None:
    assert output.ago(1_000_000.0 - past, 1_000_000.0) == said


def test_what_never_was_was_never() -> None:
    assert output.ago(None) == "never"
    assert output.moment(None) == "never"


SIZES = [
    (0, "0 B"),
    (1, "1 B"),
    (436, "436 B"),
    (1024, "1024 B"),
    (2047, "2047 B"),
    (2048, "2.00 KiB"),
    (11_653, "11.38 KiB"),
    (2 * 1024**2 - 1, "2048.00 KiB"),
    (2 * 1024**2, "2.00 MiB"),
    (3 * 1024**3, "3.00 GiB"),
    (5 * 1024**4, "5.00 TiB"),
    (9000 * 1024**4, "9000.00 TiB"),
]


@pytest.mark.parametrize(("number", "said"), SIZES)
def test_sizes_change_their_unit_at_twice_it(number: int, said: str) -> None:
    assert output.size(number) == said


def test_a_table_is_columns_as_wide_as_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("NAME", "IP"), [("ryo", "10.42.128.1"), ("mari-laptop", "")])
    assert capsys.readouterr().out == "NAME         IP\nryo          10.42.128.1\nmari-laptop\n"


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("NAME", "IP"), [])
    assert capsys.readouterr().out == "NAME  IP\n"


def peer(name: str, ip: str, cidr: str, **changes: object) -> NetworkPeer:
    fields: dict = {
        "id": 9,
        "name": name,
        "ip": ip,
        "cidr": cidr,
        "public_key": "k",
        "is_admin": False,
        "is_disabled": False,
        "is_redeemed": True,
        "invite_expires": None,
        "endpoint": None,
        "learned_endpoint": None,
        "is_online": False,
        "last_handshake": None,
        "applied": None,
    }
    return NetworkPeer(**fields | changes)


NETWORK = NetworkJson(
    name="kermpany",
    id="",
    generation=1,
    revision=9,
    internal_endpoint="",
    peers=[
        peer("ryo", "10.42.128.10", "humans", is_admin=True, is_online=True),
        peer("mari", "10.42.128.9", "humans", is_disabled=True),
        peer("cat", "10.42.3.1", "kittens", is_redeemed=False),
    ],
    cidrs=[
        NetworkCidr(id=1, name="kermpany", cidr="10.42.0.0/16", parent=None, peers=0),
        NetworkCidr(id=3, name="humans", cidr="10.42.128.0/17", parent="kermpany", peers=2),
        NetworkCidr(id=4, name="cats", cidr="10.42.3.0/24", parent="kermpany", peers=0),
        NetworkCidr(id=5, name="kittens", cidr="10.42.3.0/25", parent="cats", peers=1),
    ],
    associations=[NetworkAssociation(id=1, cidr1="humans", cidr2="cats")],
)

TREE = """\
10.42.0.0/16 kermpany
  10.42.128.0/17 humans
    | ◯ 10.42.128.9: mari (disabled)
    | ◉ 10.42.128.10: ryo (active, admin)
  10.42.3.0/24 cats
    10.42.3.0/25 kittens
      | ◯ 10.42.3.1: cat (invited)
"""


def test_a_tree_has_narrower_cidrs_below_and_peers_where_they_belong(capsys: pytest.CaptureFixture[str]) -> None:
    output.tree(NETWORK)
    assert capsys.readouterr().out == TREE
    output.tree(NETWORK, peers=False)
    assert capsys.readouterr().out == "".join(line + "\n" for line in TREE.splitlines() if "|" not in line)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"is_disabled": True}, "disabled"),
        ({"is_redeemed": False}, "invited"),
        ({"is_redeemed": False, "invite_expires": 101}, "invited"),
        ({"is_redeemed": False, "invite_expires": 100}, "invitation expired"),
    ],
)
def test_a_peers_place_in_its_life(changes: dict, state: str) -> None:
    assert output.state_of(peer("p", "10.0.0.1", "c", **changes), now=100.0) == state


def test_a_difference_says_who_gains_and_loses_whom(capsys: pytest.CaptureFixture[str]) -> None:
    moved = Moved("mari", "humans", "bakers")
    output.difference(Diff(2, 1, (("a", "b"), ("a", "c")), (("mari", "ryo"),), ("new",), ("old",), (moved,)))
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(": 2")
    assert said[1:3] == ["  + a - b", "  + a - c"]
    assert said[3].endswith(": 1")
    assert said[4] == "  - mari - ryo"
    assert "new" in said[5]
    assert "old" in said[6]
    assert said[7:] == ["mari would move from humans to bakers", "nothing was changed"]


def test_a_document_is_one_json_text_without_colours(capsys: pytest.CaptureFixture[str]) -> None:
    output.document({"peers": NETWORK.peers, "revision": 9})
    out = capsys.readouterr().out
    assert [p["name"] for p in json.loads(out)["peers"]] == ["ryo", "mari", "cat"]
    assert "\x1b" not in out
