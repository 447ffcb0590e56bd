"""What a client says of itself in the heads of its requests: the program that it is, and which run of it. Pure.

    User-Agent: inn/0.1.0
    X-Innerd-Run: 3f9c2e0b7a5d4c18
    X-Innerd-Relay: no

The run is drawn when an agent starts: where one comes back after another did, two machines have the key. The last is
said by an agent that wants nothing relayed, neither from it nor to it.
"""

import re

RUN = "X-Innerd-Run"
RELAY, NO_RELAY = "X-Innerd-Relay", "no"
OURS = "inn"
_PRODUCT = re.compile(r"[A-Za-z][\w.-]{0,23}/[\w.+~-]{1,23}(?=[ \t]|\Z)", re.ASCII)
_RUN = re.compile(r"[0-9a-f]{16}")
_RELEASE = re.compile(rf"{OURS}/(\d{{1,6}}(?:\.\d{{1,6}}){{0,3}})(?![\d.])")


def parse_software(agent: str) -> str | None:
    """Program and release, as the first product of a `User-Agent` names them: few characters, none of them strange."""
    found = _PRODUCT.match(agent)
    return found[0] if found is not None else None


def parse_run(text: str) -> str | None:
    return text if _RUN.fullmatch(text) else None


def is_older(software: str, release: str) -> bool:
    """Whether something is `inn` of a release before another."""
    its, other = _RELEASE.match(software), _RELEASE.match(f"{OURS}/{release}")
    return its is not None and other is not None and _numbers(its[1]) < _numbers(other[1])


def _numbers(release: str) -> list[int]:
    return ([int(part) for part in release.split(".")] + [0] * 4)[:4]
