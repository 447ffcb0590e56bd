"""DNS messages on the wire (RFC 1035, 6891): one strict parser of questions, one writer of answers. Pure.

The parser looks at nothing but what it needs, follows no pointers and allocates next to nothing: general parsers
can be kept busy for a minute by one packet. A packet that deserves silence gives None, one that deserves an error
gives a Question with its `rcode` set already.
"""

from struct import Struct as Layout

from msgspec import Struct

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 16: "BADVERS"}

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, AXFR, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 252, 255
IXFR = 251
IN = 1

UDP_SIZE = 1232  # ours, and the most that we send over UDP (RFC 9715)
_MIN_UDP = 512
MAX_NAME = 255

_HEADER = Layout(">HHHHHH")
_TWO = Layout(">HH")
_RECORD = Layout(">HHIH")

_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_OPCODE = 0x7800
_DO = 0x8000


class Question(Struct, frozen=True, gc=False):
    """One question. `name` is in wire format and lower-case; `raw` is the question section as it came."""

    id: int
    flags: int
    name: bytes
    qtype: int
    qclass: int
    raw: bytes
    edns: bool = False
    do: bool = False
    size: int = _MIN_UDP  # what the asker takes over UDP
    rcode: int = NOERROR  # set: answer this, and look no further


class Answer(Struct, frozen=True, gc=False):
    """What to say: `answer` and `authority` are records as bytes, with how many there are."""

    rcode: int
    authoritative: bool = False
    answer: bytes = b""
    answers: int = 0
    authority: bytes = b""
    authorities: int = 0


REFUSAL = Answer(REFUSED)


def parse(packet: bytes) -> Question | None:
    """The question of a packet, or None for what must get no answer (RFC 1035 4.1; 9619: one question)."""
    if len(packet) < 12:
        return None
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    if flags & _QR:
        return None
    if flags & _OPCODE:
        return Question(number, flags, b"", 0, 0, b"", rcode=NOTIMP)  # the body of an unknown opcode is not ours
    broken = Question(number, flags, b"", 0, 0, b"", rcode=FORMERR)
    if questions != 1 or answers or authorities > 1:
        return broken
    end = _name_end(packet, 12)
    if end < 0 or end + 4 > len(packet):
        return broken
    qtype, qclass = _TWO.unpack_from(packet, end)
    name, raw = packet[12:end].lower(), packet[12 : end + 4]
    if additional == 0 and authorities == 0:
        return Question(number, flags, name, qtype, qclass, raw)
    return _with_additional(Question(number, flags, name, qtype, qclass, raw), packet, end + 4, authorities, additional)


def _name_end(packet: bytes, at: int) -> int:
    """The offset behind a plain name: labels up to 63, 255 bytes in all, no pointers; -1 for any other."""
    limit = min(len(packet), at + MAX_NAME)
    while at < limit:
        length = packet[at]
        if length == 0:
            return at + 1
        if length > 63:
            return -1
        at += 1 + length
    return -1


def _with_additional(question: Question, packet: bytes, at: int, authorities: int, additional: int) -> Question:
    """Read the records behind the question for the one that matters, OPT (RFC 6891 6.1)."""
    broken = Question(question.id, question.flags, b"", 0, 0, b"", rcode=FORMERR)
    if authorities + additional > 4:
        return broken
    found: tuple[int, int] | None = None
    for index in range(authorities + additional):
        is_root = packet[at : at + 1] == b"\0"
        at = _skip_name(packet, at)
        if at < 0 or at + 10 > len(packet):
            return broken
        type_, size, ttl, length = _RECORD.unpack_from(packet, at)
        at += 10 + length
        if at > len(packet):
            return broken
        if type_ == OPT:
            if found is not None or not is_root or index < authorities:
                return broken
            if not _options_fit(packet, at - length, at):
                return broken
            found = (size, ttl)
    if found is None:
        return question
    size, ttl = found
    return Question(
        question.id,
        question.flags,
        question.name,
        question.qtype,
        question.qclass,
        question.raw,
        edns=True,
        do=bool(ttl & _DO),
        size=max(_MIN_UDP, size),
        rcode=BADVERS if (ttl >> 16) & 0xFF else NOERROR,
    )


def _skip_name(packet: bytes, at: int) -> int:
    """The offset behind a name that may end in a pointer, which is not followed."""
    limit = min(len(packet), at + MAX_NAME)
    while 0 <= at < limit:
        length = packet[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2
        if length > 63:
            return -1
        at += 1 + length
    return -1


def _options_fit(packet: bytes, at: int, end: int) -> bool:
    while at < end:
        if at + 4 > end:
            return False
        at += 4 + _TWO.unpack_from(packet, at)[1]
    return at == end


def write(question: Question, answer: Answer, *, tcp: bool = False) -> bytes:
    """The answer's packet; over UDP cut to what the asker takes, with TC and no records then."""
    flags = _QR | (question.flags & _RD) | (answer.rcode & 15)
    if answer.authoritative:
        flags |= _AA
    opt = b""
    if question.edns:
        opt = b"\0" + _RECORD.pack(OPT, UDP_SIZE, (answer.rcode >> 4) << 24 | (_DO if question.do else 0), 0)
    size = 12 + len(question.raw) + len(answer.answer) + len(answer.authority) + len(opt)
    if not tcp and size > min(question.size, UDP_SIZE):
        head = _HEADER.pack(question.id, flags | _TC, 1, 0, 0, 1 if opt else 0)
        return head + question.raw + opt
    if not question.raw:
        # NOTIMP keeps its opcode, so that the asker recognises its answer.
        return _HEADER.pack(question.id, flags | (question.flags & _OPCODE), 0, 0, 0, 0)
    head = _HEADER.pack(question.id, flags, 1, answer.answers, answer.authorities, 1 if opt else 0)
    return head + question.raw + answer.answer + answer.authority + opt


def wire_name(text: str) -> bytes:
    """A dotted name in wire format, lower-case."""
    labels = [label.encode("ascii").lower() for label in text.strip(".").split(".")]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def record(type_: int, ttl: int, data: bytes, owner: int = 12) -> bytes:
    """A record whose owner is a pointer to the name at offset `owner` (12: the question's)."""
    return (0xC000 | owner).to_bytes(2, "big") + _RECORD.pack(type_, IN, ttl, len(data)) + data
