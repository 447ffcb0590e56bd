"""`--wait`: how a change went on to the peers that it concerns."""

from typing import TYPE_CHECKING, Any, TextIO

from innerd.command.output import line
from innerd.failure import UNREACHABLE, Failure
from innerd.wire.ours import Convergence

if TYPE_CHECKING:
    from innerd.admin.transport import Api

_HINT = "innerd convergence (or inn convergence) shows how far each peer is"


async def until_converged(api: "Api", revision: int, seconds: int) -> dict[str, Any]:
    """Return when all connected peers that were told of a revision have it, or the time is over: whose device matches,
    who is missing, who is not connected. Raises Failure where that can't be known."""
    try:
        reply = await api.get_in_time("/v1/admin/convergence", seconds, revision=revision, wait=seconds)
    except Failure as failure:
        message = f"the change is made, but nobody knows who has it: {failure.message}"
        raise Failure(failure.status, failure.code, message, failure.hint) from failure
    found = reply.read(Convergence)
    concerned = [peer for peer in found.peers if peer.concerned]
    names = {
        state: [p.name for p in concerned if p.state == state] for state in ("current", "behind", "offline", "polling")
    }
    return {
        "revision": revision,
        "seconds": round(found.waited, 3),
        "applied": len(names["current"]),
        "refused": [peer.name for peer in concerned if peer.refused],
        "missing": names["behind"],
        "offline": names["offline"],
        "polling": names["polling"],
    }


def say(outcome: dict[str, Any], out: TextIO) -> None:
    count = outcome["applied"]
    what = f"{count} connected {'peer has' if count == 1 else 'peers have'} it"
    line(f"{what}, after {outcome['seconds']:.2f} s.", out=out)
    for key, meaning in (
        ("refused", "refuse a part of it (inn status there says why)"),
        ("offline", "not connected; told when they come back"),
        ("polling", "innernet's clients: they ask every minute or so, and never report"),
    ):
        if outcome[key]:
            line(f"  {meaning}: {', '.join(outcome[key])}", out=out)


def missing(outcome: dict[str, Any], seconds: int) -> Failure | None:
    """The failure of a wait that ended too early."""
    names = outcome["missing"]
    if not names:
        return None
    message = f"{len(names)} connected peers have not reported the change within {seconds} s: {', '.join(names)}"
    return Failure(UNREACHABLE, "not_converged", message, _HINT)
