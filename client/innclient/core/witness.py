"""What a coordinator signed of its log, as this machine saw it: checkpoints kept, so that they can be compared. Pure.

The first key is pinned. A checkpoint that another key signed, or that says otherwise than what was told or signed
before, is of another log than the one that was seen; it is kept all the same, as the proof.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from innclient.core.netmap import LogForked
from innerd.domain.errors import Refused
from innerd.wire.checkpoint import Checkpoint, origin, read
from innerd.wire.note import NotSigned, Verifier, parse_verifier
from innerd.wire.stream import CheckpointJson, Hello

NEWEST, DAYS, FORKS = 60, 100, 20  # how many are kept: of the newest, of the last of each day before, of those of forks
_DAY = 86_400


class Seen(Struct, frozen=True):
    """A signed note, and when it came (seconds since 1970)."""

    note: str
    at: float


class Witnessed(Struct, frozen=True):
    """The verifier key that is pinned, the checkpoints that agree (oldest first), and those that came with a fork.
    `hashes`: of the kept ones, by generation and revision."""

    key: str = ""
    kept: tuple[Seen, ...] = ()
    forks: tuple[Seen, ...] = ()
    hashes: dict[tuple[int, int], str] = {}

    @property
    def last(self) -> tuple[int, int]:
        """Generation and revision of the furthest."""
        return max(self.hashes, default=(0, 0))


def remembered(key: str, kept: Iterable[Seen], forks: Iterable[Seen]) -> Witnessed:
    """As it was written down. Raises Refused, NotSigned."""
    kept = tuple(kept)
    by = parse_verifier(key) if key else None
    read_ = [read(seen.note, by) for seen in kept] if by is not None else []
    return Witnessed(key, kept, tuple(forks), {checkpoint.at: checkpoint.hash for checkpoint in read_})


def meet(witnessed: Witnessed, hello: Hello, now: float) -> Witnessed:
    """Take a hello. Raises LogForked, Refused."""
    generation, revision = witnessed.last
    if (hello.generation, hello.head) < (generation, revision):
        seen = f"revision {revision} of generation {generation} was signed"
        raise LogForked(f"the log was rewound: it ends at {hello.head} in generation {hello.generation}, but {seen}")
    if hello.checkpoint_key is None:
        return witnessed
    if witnessed.key and hello.checkpoint_key != witnessed.key:
        raise LogForked(f"another key signs checkpoints ({hello.checkpoint_key[:120]}) than the one pinned")
    by = parse_verifier(hello.checkpoint_key)
    if by.name != origin(hello.network_id):
        raise LogForked(f"the key of checkpoints is of {by.name[:120]}, not of this network")
    taken = replace(witnessed, key=hello.checkpoint_key)
    if hello.checkpoint is not None:
        taken = take_note(taken, hello.checkpoint, hello.generation, now)
    agrees(taken, hello.generation, hello.head, hello.head_hash)
    return taken


def take_note(witnessed: Witnessed, note: str, generation: int, now: float) -> Witnessed:
    """Keep a checkpoint of the generation at hand, if it agrees with those that are kept: the same object where it is
    one of them. Raises LogForked, Refused."""
    if not witnessed.key:
        return witnessed  # its hello named none
    try:
        checkpoint = read(note, parse_verifier(witnessed.key))
    except NotSigned as error:
        raise LogForked(f"a checkpoint is not the pinned key's: {error}") from None
    if checkpoint.generation != generation:
        raise LogForked(f"a checkpoint is of generation {checkpoint.generation}, not {generation}")
    agrees(witnessed, *checkpoint.at, checkpoint.hash)
    if checkpoint.at in witnessed.hashes:
        return witnessed
    return _keep(witnessed, checkpoint, Seen(note, now))


def agrees(witnessed: Witnessed, generation: int, revision: int, hash_: str) -> None:
    """Whether what is told is what was signed. Raises LogForked."""
    if witnessed.hashes.get((generation, revision), hash_) != hash_:
        what = f"revision {revision} of generation {generation}"
        raise LogForked(f"the log was forked: {what} is not what was signed")


def _keep(witnessed: Witnessed, checkpoint: Checkpoint, seen: Seen) -> Witnessed:
    """With one more: the newest stay, and before them the last of each day and generation."""
    everything = [*zip(witnessed.hashes.items(), witnessed.kept, strict=True), ((checkpoint.at, checkpoint.hash), seen)]
    older, newest = everything[:-NEWEST], everything[-NEWEST:]
    days = {(int(entry[1].at // _DAY), entry[0][0][0]): entry for entry in older}
    left = [*list(days.values())[-DAYS:], *newest]
    return replace(witnessed, kept=tuple(seen for _, seen in left), hashes=dict(place for place, _ in left))


def with_proof(witnessed: Witnessed, frames: Iterable[Struct], now: float) -> Witnessed:
    """With the checkpoints of frames that showed another log: what is signed by the pinned key, and not kept yet."""
    notes = {seen.note for seen in (*witnessed.kept, *witnessed.forks)}
    found = [note for note in _notes(frames) if note not in notes and _is_signed(note, witnessed.key)]
    if not found or len(witnessed.forks) >= FORKS:
        return witnessed
    return replace(witnessed, forks=(*witnessed.forks, *(Seen(note, now) for note in found))[:FORKS])


def _notes(frames: Iterable[Struct]) -> Iterator[str]:
    for frame in frames:
        if isinstance(frame, CheckpointJson):
            yield frame.note
        elif isinstance(frame, Hello) and frame.checkpoint is not None:
            yield frame.checkpoint


def _is_signed(note: str, key: str) -> bool:
    try:
        read(note, parse_verifier(key))
    except (Refused, NotSigned):
        return False
    return True


class Contradiction(Struct, frozen=True, kw_only=True):
    """The proof of a fork: one key signed two hashes for one place of the log."""

    generation: int
    revision: int
    one: str  # a note
    other: str


class Compared(Struct, frozen=True, kw_only=True):
    """What came of comparing: the places (generation, revision) where both sides are the same, and where not."""

    same: list[tuple[int, int]]
    contradictions: list[Contradiction]


def compared(by: Verifier, ours: Iterable[str], theirs: Iterable[str]) -> Compared:
    """Compare the notes of two sides, each with all others. Raises Refused, NotSigned."""
    first, own = dict[tuple[int, int], tuple[str, str]](), set[tuple[int, int]]()
    same, contradictions = set[tuple[int, int]](), dict[tuple[int, int], Contradiction]()
    for is_ours, note in [*((True, note) for note in ours), *((False, note) for note in theirs)]:
        found = read(note, by)
        hash_, one = first.setdefault(found.at, (found.hash, note))
        if hash_ != found.hash:
            generation, revision = found.at
            contradiction = Contradiction(generation=generation, revision=revision, one=one, other=note)
            contradictions.setdefault(found.at, contradiction)
        elif is_ours:
            own.add(found.at)
        elif found.at in own:
            same.add(found.at)
    return Compared(same=sorted(same - contradictions.keys()), contradictions=list(contradictions.values()))
