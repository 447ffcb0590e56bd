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
_TCP_SIZE = 65_535
MAX_NAME = 255

_HEADER = Layout(">HHHHHH")
_read_header, _write_header = _HEADER.unpack_from, _HEADER.pack
_read_two = Layout(">HH").unpack_from
_RECORD = Layout(">HHIH")
_POINTED = Layout(">HHHIH")  # a record whose owner is a pointer

_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_OPCODE = 0x7800
_DO = 0x8000

_NO_OPT = (0, 0)  # known by its identity: an OPT may say that too
_MAX_RECORDS = 4  # behind a question; and options in OPT: more than anybody has use for
_MAX_OPTIONS = 32


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
    number, flags, questions, answers, authorities, additional = _read_header(packet)
    if flags & _QR:
        return None
    if flags & _OPCODE:
        return _failed(number, flags, NOTIMP)  # the body of an unknown opcode is not ours
    if questions != 1 or answers or authorities > 1:
        return _failed(number, flags, FORMERR)
    end = _name_end(packet, 12)
    if end < 0 or end + 4 > len(packet):
        return _failed(number, flags, FORMERR)
    qtype, qclass = _read_two(packet, end)
    raw, name = packet[12 : end + 4], packet[12:end].lower()
    if not additional and not authorities:
        return Question(number, flags, name, qtype, qclass, raw)
    opt = _opt(packet, end + 4, authorities, additional)
    if opt is _NO_OPT:
        return Question(number, flags, name, qtype, qclass, raw)
    if opt is None:
        return _failed(number, flags, FORMERR)
    size, ttl = opt
    rcode = BADVERS if (ttl >> 16) & 0xFF else NOERROR
    return Question(number, flags, name, qtype, qclass, raw, True, bool(ttl & _DO), max(_MIN_UDP, size), rcode)


def _failed(number: int, flags: int, rcode: int) -> Question:
    return Question(number, flags, b"", 0, 0, b"", rcode=rcode)


def _name_end(packet: bytes, at: int) -> int:
    """The offset behind a plain name: labels up to 63, 255 bytes in all, no pointers; -1 for any other."""
    name, end = packet[at : at + MAX_NAME], 0
    try:
        while length := name[end]:
            if length > 63:
                return -1
            end += length + 1
    except IndexError:
        return -1
    return at + end + 1


def _opt(packet: bytes, at: int, authorities: int, additional: int) -> tuple[int, int] | None:
    """Size and TTL of OPT (RFC 6891 6.1), the one record behind a question that matters; None if any is broken."""
    if authorities + additional > _MAX_RECORDS:
        return None
    found = _NO_OPT
    for index in range(authorities + additional):
        is_root = packet[at : at + 1] == b"\0"
        at = at + 1 if is_root else _skip_name(packet, at)
        if at < 0 or at + 10 > len(packet):
            return None
        type_, size, ttl, length = _RECORD.unpack_from(packet, at)
        at += 10 + length
        if at > len(packet):
            return None
        if type_ == OPT:
            if found is not _NO_OPT or not is_root or index < authorities or not _options_fit(packet, at - length, at):
                return None
            found = (size, ttl)
    return found


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
    for _ in range(_MAX_OPTIONS):
        if at + 4 > end:
            break
        at += 4 + _read_two(packet, at)[1]
    return at == end


def write(question: Question, answer: Answer, tcp: bool = False) -> bytes:
    """The answer's packet; cut to what the asker takes, with TC and no records then."""
    flags = _QR | (question.flags & _RD) | (answer.rcode & 15)
    if answer.authoritative:
        flags |= _AA
    if not question.raw:
        # NOTIMP keeps its opcode, so that the asker recognises its answer.
        return _write_header(question.id, flags | (question.flags & _OPCODE), 0, 0, 0, 0)
    opt = _own_opt(answer.rcode, question.do) if question.edns else b""
    body = question.raw + answer.answer + answer.authority + opt
    size = 12 + len(body)
    if size > _MIN_UDP and size > (_TCP_SIZE if tcp else min(question.size, UDP_SIZE)):
        return _write_header(question.id, flags | _TC, 1, 0, 0, question.edns) + question.raw + opt
    return _write_header(question.id, flags, 1, answer.answers, answer.authorities, question.edns) + body


def _own_opt(rcode: int, do: bool) -> bytes:
    return b"\0" + _RECORD.pack(OPT, UDP_SIZE, (rcode >> 4) << 24 | (_DO if do else 0), 0)


def wire_name(text: str) -> bytes:
    """A dotted name in wire format, lower-case."""
    labels = [label.encode("ascii").lower() for label in text.strip(".").split(".")]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def pointer(offset: int) -> bytes:
    """A name that is written elsewhere in the message (RFC 1035 4.1.4)."""
    return (0xC000 | offset).to_bytes(2, "big")


def record(type_: int, ttl: int, data: bytes, owner: int = 12) -> bytes:
    """A record whose owner is a pointer to the name at offset `owner` (12: the question's)."""
    return _POINTED.pack(0xC000 | owner, type_, IN, ttl, len(data)) + data
