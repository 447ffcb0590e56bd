"""Whether this host's firewall lets a packet in, read off its rules (`nft -j list ruleset`; iptables-nft's too).

What a rule looks at and we don't know (an address, a set, a mark) makes the answer uncertain, never wrong. Pure but for
`ruleset`.
"""

import json
import operator
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from innerd.relay import TABLES

ACCEPT, DROP, RETURN = "accept", "drop", "return"
_EITHER = "either"  # a statement that is not known may decide anything, or nothing
_PLACES = (("netdev", "ingress"), ("", "prerouting"), ("", "input"))  # in the order in which a packet comes by
_SILENT = {"counter", "log", "comment", "meter", "notrack"}  # what decides nothing, and asks nothing
_MATCHING = {"limit", "quota", "ct count", "set", "map"}  # what may be of some packets only

Key = tuple[str, str, str]  # family, table and chain
Packet = Mapping[str, object]  # what is known of it: "udp dport", "ct state", "meta iifname" …


def ruleset() -> list[dict[str, Any]] | None:
    """The rules of this host; None where they can't be read."""
    program = shutil.which("nft")
    if program is None:
        return None
    done = subprocess.run([program, "-j", "list", "ruleset"], capture_output=True, timeout=20, check=False)
    if done.returncode:
        return None
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["nftables"]
    except (ValueError, KeyError, TypeError):
        return None  # an nft without JSON
    return [item for item in found if not _is_relays(item)]


def _is_relays(item: dict[str, Any]) -> bool:
    """Whether it is of a relay of ours: that takes what is for others alone, and nothing of what is for this host."""
    (content,) = item.values()
    return content.get("family") == "netdev" and str(content.get("table", content.get("name"))).startswith(TABLES)


def is_ufw(rules: list[dict[str, Any]]) -> bool:
    """Whether they are ufw's: what is added beside it lasts until ufw is loaded anew."""
    return any(item.get("chain", {}).get("name") == "ufw-user-input" for item in rules)


def remedy(rules: list[dict[str, Any]], where: str, protocol: str, port: int, link: str | None) -> str:
    """The command that lets a port in, on one link or on all; `where` is the chain that drops it."""
    if is_ufw(rules):
        return ufw_allow(protocol, port, link)
    by = f"iifname {link} " if link is not None else ""
    return f"nft insert rule {where} {by}{protocol} dport {port} accept"


def ufw_allow(protocol: str, port: int, link: str | None) -> str:
    on = f"in on {link} to any port {port} proto {protocol}" if link is not None else f"{port}/{protocol}"
    return f"ufw allow {on}"


def to_serve(network: str, port: int) -> str:
    """What helps where the tunnel to a coordinator is up, and its API silent."""
    command = ufw_allow("tcp", port, network)
    return f"check that innerd serve runs there, and that its firewall lets the tunnel in (ufw: {command})"


def incoming(protocol: str, port: int, link: str, version: int) -> Packet:
    """The first packet of a stranger to a port, on a link."""
    v4 = version == 4
    return {
        f"{protocol} dport": port,
        "th dport": port,
        "meta l4proto": protocol,
        "ip protocol": protocol if v4 else _NONE,
        "ip6 nexthdr": _NONE if v4 else protocol,
        "meta iifname": link,
        "meta iif": link,
        "meta nfproto": "ipv4" if v4 else "ipv6",
        "meta protocol": "ip" if v4 else "ip6",
        "ct state": "new",
        "ct status": None,
    }


_NONE = "none"  # the value of a field that the packet does not have: nothing is equal to it, nor unequal
_PORTS = ("udp dport", "tcp dport", "th dport")


def verdict(rules: list[dict[str, Any]], packet: Packet) -> tuple[set[str], str]:
    """What may become of a packet that is for this host: accept, drop, or both where that is not certain; and the chain
    that drops it, as nft names it."""
    flags = {(t["family"], t["name"]): t["flags"] for item in rules if (t := item.get("table")) and t.get("flags")}
    chains = {(c["family"], c["table"], c["name"]): c for item in rules if (c := item.get("chain"))}
    steps: dict[Key, list[list[Any]]] = {}
    for item in rules:
        if rule := item.get("rule"):
            steps.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule["expr"])
    possible, where = {ACCEPT}, ""
    for key, chain in _on_the_way(chains, packet):
        found = _walk(steps, key, packet, chain.get("policy", ACCEPT), 0)
        if key[:2] in flags or (key[0] == "netdev" and "dev" not in chain):
            found |= {ACCEPT}  # a table may sleep, a chain may be of another link: older releases of nft don't say
        if DROP in found:
            where = where or " ".join(key)
            if ACCEPT not in found:
                return {DROP}, " ".join(key)
            possible = {ACCEPT, DROP}
        packet = {**packet, **dict.fromkeys(_changed(steps, key, set()))}
    return possible, where


def _on_the_way(chains: Mapping[Key, dict[str, Any]], packet: Packet) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The base chains that a packet comes by, in their order."""
    family = "ip" if packet["meta nfproto"] == "ipv4" else "ip6"
    for only, hook in _PLACES:
        for key, chain in chains.items():
            if chain.get("hook") != hook or key[0] not in ((only,) if only else (family, "inet")):
                continue
            devices = chain.get("dev", packet["meta iifname"])
            if only and packet["meta iifname"] not in (devices if isinstance(devices, list) else [devices]):
                continue
            yield key, chain


def _changed(steps: Mapping[Key, list[list[Any]]], chain: Key, been: set[Key]) -> Iterator[str]:
    """What is not certain of a packet any more after a chain, as the chain or those that it calls may change it."""
    been.add(chain)
    for expression in (one for rule in steps.get(chain, []) for one in rule if isinstance(one, dict)):
        (name, content), *_ = expression.items()
        if name == "notrack":
            yield "ct state"
        elif name == "mangle":
            field = _name(content["key"])
            yield from _PORTS if field in _PORTS else (field,)
        elif name in ("jump", "goto") and (called := (*chain[:2], content["target"])) not in been:
            yield from _changed(steps, called, been)


def _walk(
    steps: Mapping[Key, list[list[Any]]],
    chain: Key,
    packet: Packet,
    policy: str,
    depth: int,
) -> set[str]:
    """The verdicts that a chain may come to; RETURN where its end is reached and it has no policy."""
    possible: set[str] = set()
    for expressions in steps.get(chain, []):
        matches, outcome = _rule(expressions, packet)
        if matches is False or outcome is None:
            continue
        kind, target = outcome
        if kind == _EITHER:
            possible |= {ACCEPT, DROP}
            continue
        if kind in ("jump", "goto"):
            after = _walk(steps, (*chain[:2], target), packet, RETURN, depth + 1) if depth < 16 else {ACCEPT, DROP}
            decided = after - {RETURN} if kind == "jump" else {policy if v == RETURN else v for v in after}
            ends = kind == "goto" or RETURN not in after
        else:
            decided, ends = {policy if kind == RETURN else kind}, True
        possible |= decided
        if matches and ends:
            return possible
    return possible | {policy}


def _rule(expressions: list[Any], packet: Packet) -> tuple[bool | None, tuple[str, str] | None]:
    """Whether a rule matches (None: perhaps), and what it decides."""
    matches: bool | None = True
    for expression in expressions:
        if not isinstance(expression, dict):
            continue
        (name, content), *_ = expression.items()
        if name == "match":
            one = _match(content, packet)
            if one is False:
                return False, None
            matches = matches if one else None
        elif name in (ACCEPT, RETURN):
            return matches, (name, "")
        elif name in (DROP, "reject"):
            return matches, (DROP, "")
        elif name in ("jump", "goto"):
            return matches, (name, content["target"])
        elif name == "mangle" and _name(content["key"]) not in _PORTS:
            continue
        elif name in _MATCHING:
            matches = None
        elif name not in _SILENT:
            return matches, (_EITHER, "")  # a map of verdicts, another port, a redirect, a queue …
    return matches, None


def _match(content: Mapping[str, Any], packet: Packet) -> bool | None:
    name = _name(content["left"])
    protocol, _, field = name.partition(" ")
    if field in ("dport", "sport") and protocol in ("tcp", "udp") and packet["meta l4proto"] != protocol:
        return False
    if packet.get(name) == _NONE:
        return False  # no comparison holds of what is not there
    if name not in packet or packet[name] is None:
        return None
    value, right, how = packet[name], content["right"], content["op"]
    if how in _COMPARED:
        return _COMPARED[how](value, right) if isinstance(value, int) and isinstance(right, int) else None
    inside = _contains(right, value)
    if inside is None or how not in ("==", "!=", "in"):
        return None
    return not inside if how == "!=" else inside


_COMPARED: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _name(left: Any) -> str:
    if not isinstance(left, dict):
        return ""
    for kind in ("meta", "ct"):
        if kind in left:
            return f"{kind} {left[kind].get('key')}"
    payload = left.get("payload", {})
    return f"{payload.get('protocol')} {payload.get('field')}"


def _contains(right: Any, value: object) -> bool | None:
    if isinstance(right, list):
        found = [_contains(one, value) for one in right]
        return True if True in found else None if None in found else False
    if isinstance(right, dict):
        if "set" in right:
            return _contains(right["set"], value)
        if "range" in right and isinstance(value, int):
            low, high = right["range"]
            return bool(low <= value <= high)
        return None
    if isinstance(right, str) and right.startswith("@"):
        return None
    if isinstance(right, str) and right.endswith("*"):
        return str(value).startswith(right[:-1])
    return bool(right == value)
