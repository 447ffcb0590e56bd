"""What is said of a firewall, from its rules as nft tells them in JSON: what only these tests can have, as other
releases of nft say it. What becomes of real packets is in test_firewall_truth.py."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innclient.verbs.doctor import tried
from innerd.host import checks, firewall
from innerd.host.checks import Finding
from innerd.host.firewall import ACCEPT, DROP

PORT = 51820
PACKET = firewall.incoming("udp", PORT, "eth0", 4)
INPUT = ("inet", "filter", "input")


def chain(key: tuple[str, str, str] = INPUT, **more: object) -> dict[str, Any]:
    family, table, name = key
    return {"chain": {"family": family, "table": table, "name": name, "handle": 1, **more}}


def base(policy: str | None = "accept", key: tuple[str, str, str] = INPUT, hook: str = "input") -> dict[str, Any]:
    more = {} if policy is None else {"policy": policy}
    return chain(key, type="filter", hook=hook, prio=0, **more)


def rule(*expressions: Any, key: tuple[str, str, str] = INPUT) -> dict[str, Any]:
    family, table, name = key
    return {"rule": {"family": family, "table": table, "chain": name, "handle": 2, "expr": list(expressions)}}


def field(protocol: str, name: str, right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": name}}, "right": right}}


def possible(*items: dict[str, Any], packet: firewall.Packet = PACKET) -> set[str]:
    found, where = firewall.verdict([{"metainfo": {"version": "1.0.6"}}, *items], packet)
    assert bool(where) == (DROP in found)
    return found


OURS = field("udp", "dport", PORT)
DROPS, ACCEPTS = {"drop": None}, {"accept": None}


def test_a_chain_without_a_policy_accepts() -> None:
    assert possible(base(None)) == {ACCEPT}


def test_the_chain_that_drops_is_named_as_nft_takes_it() -> None:
    assert firewall.verdict([base("drop")], PACKET) == ({DROP}, "inet filter input")
    assert firewall.verdict(
        [base(), rule(OURS, {"jump": {"target": "deep"}}), chain((*INPUT[:2], "deep"))], PACKET
    ) == (
        {ACCEPT},
        "",
    )


def test_chains_of_other_families_and_hooks_are_not_walked() -> None:
    others = (
        base("drop", ("ip6", "filter", "input")),
        base("drop", ("bridge", "filter", "input")),
        base("drop", ("arp", "filter", "input")),
        base("drop", ("inet", "filter", "forward"), hook="forward"),
        chain(("inet", "filter", "loose")),
        rule(DROPS, key=("inet", "filter", "loose")),
    )
    assert possible(*others) == {ACCEPT}
    assert possible(*others, packet=firewall.incoming("udp", PORT, "eth0", 6)) == {DROP}


def test_chains_that_call_each_other_for_ever_are_uncertain() -> None:
    """The kernel does not take them; who reads must end all the same."""
    deep = ("inet", "filter", "deep")
    again = rule({"jump": {"target": "deep"}}, key=deep)
    assert possible(base(), rule({"jump": {"target": "deep"}}), chain(deep), again) == {ACCEPT, DROP}


def test_a_chain_that_is_not_told_lets_everything_pass() -> None:
    assert possible(base("drop"), rule({"jump": {"target": "missing"}}), rule(ACCEPTS)) == {ACCEPT}


@pytest.mark.parametrize(
    "right",
    [
        {"set": [{"elem": {"val": PORT, "comment": "ours"}}]},
        {"set": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]},
        "@ports",
        {"concat": ["10.0.0.1", PORT]},
        {"map": {"key": "x", "data": "@y"}},
    ],
    ids=lambda right: json.dumps(right),
)
def test_a_side_that_is_not_read_makes_it_uncertain(right: object) -> None:
    assert possible(base(), rule(field("udp", "dport", right), DROPS)) == {ACCEPT, DROP}


def test_a_mark_that_is_set_decides_nothing() -> None:
    mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}
    assert possible(base(), rule(mark, DROPS)) == {DROP}
    assert possible(base("drop"), rule(mark, ACCEPTS)) == {ACCEPT}


@pytest.mark.parametrize(
    "statement",
    [
        {"limit": {"rate": 1, "per": "second"}},
        {"quota": {"val": 1, "val_unit": "mbytes"}},
        {"xt": {"type": "match", "name": "multiport"}},
        {"xt": None},
        {"mangle": {"key": {"payload": {"protocol": "udp", "field": "dport"}}, "value": 1}},
        {"ct count": {"val": 5}},
        {"nobody knows": 1},
    ],
    ids=lambda statement: json.dumps(statement),
)
def test_a_statement_that_is_not_known_makes_a_rule_uncertain(statement: dict[str, object]) -> None:
    assert possible(base(), rule(statement, DROPS)) == {ACCEPT, DROP}
    assert possible(base("drop"), rule(statement, ACCEPTS)) == {ACCEPT, DROP}


@pytest.mark.parametrize(
    "statement",
    [
        {"xt": {"type": "target", "name": "REJECT"}},
        {"xt": None},
        {"queue": {"num": 0}},
        {"synproxy": None},
        {
            "vmap": {
                "key": {"payload": {"protocol": "udp", "field": "dport"}},
                "data": {"set": [[PORT, {"drop": None}]]},
            }
        },
        {"vmap": {"key": {"payload": {"protocol": "udp", "field": "dport"}}, "data": "@verdicts"}},
    ],
    ids=lambda statement: json.dumps(statement)[:40],
)
def test_a_rule_that_ends_in_a_statement_that_is_not_known_is_uncertain(statement: dict[str, object]) -> None:
    """It may be the verdict itself: iptables-nft's REJECT, a queue, a map of verdicts."""
    assert DROP in possible(base(), rule(OURS, statement))


@pytest.mark.parametrize("statement", [{"counter": {"packets": 1}}, {"log": {"prefix": "x"}}, {"counter": "named"}])
def test_what_counts_and_logs_decides_nothing(statement: dict[str, object]) -> None:
    assert possible(base(), rule(OURS, statement)) == {ACCEPT}
    assert possible(base(), rule(OURS, statement, DROPS)) == {DROP}


# Whatever nft may say, in its shapes: it is walked through to its end.
names = st.sampled_from(["input", "one", "two"])
sides: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 65535), st.sampled_from(["eth0", "new", "@set", "e*", ""])),
    lambda deeper: st.one_of(
        st.lists(deeper, max_size=3),
        st.builds(lambda one: {"set": one}, deeper),
        st.builds(lambda low, high: {"range": [low, high]}, st.integers(0, 9), st.integers(0, 65535)),
        st.builds(lambda one: {"prefix": one}, deeper),
    ),
    max_leaves=5,
)
lefts = st.one_of(
    st.sampled_from(["", None, 5]),
    st.builds(lambda key: {"meta": {"key": key}}, st.sampled_from(["iifname", "l4proto", "mark", "iif"])),
    st.builds(lambda key: {"ct": {"key": key}}, st.sampled_from(["state", "status", "mark"])),
    st.builds(
        lambda protocol, name: {"payload": {"protocol": protocol, "field": name}},
        st.sampled_from(["udp", "tcp", "ip", "ip6", "th", "icmp"]),
        st.sampled_from(["dport", "sport", "protocol", "saddr"]),
    ),
    st.just({"payload": {"base": "nh", "offset": 8, "len": 16}}),
    st.just({"fib": {"result": "type", "flags": ["daddr"]}}),
)
matches = st.builds(
    lambda op, left, right: {"match": {"op": op, "left": left, "right": right}},
    st.sampled_from(["==", "!=", "in", "<", ">="]),
    lefts,
    sides,
)
targets = st.builds(lambda how, name: {how: {"target": name}}, st.sampled_from(["jump", "goto"]), names)
verdicts = st.one_of(st.sampled_from([ACCEPTS, DROPS, {"return": None}, {"reject": {"type": "tcp reset"}}]), targets)
statements = st.one_of(
    matches, verdicts, st.sampled_from([{"counter": {"packets": 0}}, {"limit": {"rate": 1}}, "notrack"])
)
rule_lists = st.lists(
    st.builds(lambda name, parts: rule(*parts, key=("inet", "filter", name)), names, st.lists(statements, max_size=4)),
    max_size=5,
)


@settings(deadline=None)  # the first example pays for what is loaded
@given(rule_lists, st.sampled_from(["accept", "drop"]))
def test_whatever_is_told_has_a_verdict(rules: list[dict[str, Any]], policy: str) -> None:
    assert set() < possible(base(policy), *rules) <= {ACCEPT, DROP}


# -- what doctor makes of it ------------------------------------------------------------------------------------------


def found(monkeypatch: pytest.MonkeyPatch, rules: list[dict[str, Any]] | None, **how: Any) -> Finding:
    monkeypatch.setattr(firewall, "ruleset", lambda: rules)
    (finding,) = checks.filtered("firewall", "udp", PORT, how.get("link", "eth0"), needed=how.get("needed", True))
    return finding


def test_a_port_that_is_needed_and_dropped_is_a_failure_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = found(monkeypatch, [base("drop")])
    assert (finding.state, finding.status) == ("failed", 6)
    assert finding.text == "drops UDP port 51820 from eth0 (chain inet filter input)"
    assert finding.fix is not None
    assert finding.fix.endswith("nft insert rule inet filter input udp dport 51820 accept")


def test_a_port_that_is_not_needed_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, [base("drop")], needed=False).state == "warning"


def test_what_is_uncertain_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = found(monkeypatch, [base(), rule({"limit": {"rate": 1}}, DROPS)])
    assert (finding.state, "inet filter input" in finding.text) == ("unknown", True)
    assert found(monkeypatch, None).state == "unknown"
    assert "no default route" in found(monkeypatch, [], link=None).text
    assert found(monkeypatch, [base()]).state == "ok"


def test_without_nft_and_without_root_there_are_no_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert firewall.ruleset() is None
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\nexit 1\n")
    nft.chmod(0o755)
    assert firewall.ruleset() is None
    nft.write_text("#!/bin/sh\nprintf '{\"nftables\": []}'\n")
    assert firewall.ruleset() == []


def test_an_nft_that_speaks_no_json_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\necho table inet filter\n")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert firewall.ruleset() is None


def test_an_nft_that_never_ends_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs() -> None:
        raise subprocess.TimeoutExpired("nft", 20)

    monkeypatch.setattr(firewall, "ruleset", hangs)
    findings = list(tried("firewall", lambda: checks.filtered("firewall", "udp", PORT, "eth0", needed=True)))
    assert [finding.state for finding in findings] == ["unknown"]
