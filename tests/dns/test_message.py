"""Raw packets, and what each must be answered: the checklist of a small authoritative server (RFC 8906's list).

Which test holds which rule; numbers are the rows of the checklist, [-] is not done by the server:

   1-5   SILENT, HEADERS, NAMES here         21     test_message_size; test_server (UDP and TCP)
   6     HEADERS ("bytes-behind")            22     test_server_tcp
   7     FLAGS here                          23-24  EDNS ("keep-alive", "cookie"): ignored, never echoed
   8     NAMES ("0x20"), test_zone           25     [-] no limit of questions a second for one asker
   9-13  test_zone, test_zone_oracle         26-27  test_names (askers), test_server (silence, counted)
   14-15 TYPES here, test_zone               28     test_zone_visibility
   16    TYPES ("any"), test_zone_oracle     29     test_zone_reverse, test_zone_oracle
   17    TYPES ("axfr"); over UDP REFUSED    30-32  advice; no wildcard, SRV or TXT: test_zone
   18-20 EDNS here                           33     names are checked by innerd.domain.values
   34    test_zone (never a CNAME)           35     one TTL for yes and no: test_zone
   36    test_zone (serial)                  37-38  TYPES ("elsewhere"), test_zone (never RA, never DNSSEC records)
"""

from struct import pack

import pytest

from tests.dns.asking import DO, ID, RD, opt, packet, question_of, reply, summary, wire, with_opt

HEAD = pack(">HHHHHH", ID, RD, 1, 0, 0, 0)
LONG = b"\x01a" * 120  # 240 bytes of labels

SILENT = {
    "empty": b"",
    "one-byte": b"\0",
    "eleven-bytes": packet()[:11],
    "an-answer": packet(flags=0x8000),
    "an-answer-of-an-update": packet(flags=0x8000 | 5 << 11),
    "an-answer-that-is-broken": packet(flags=0x8000, counts=(9, 9, 9, 9)),
}

HEADERS = {
    "no-question": (packet(counts=(0, 0, 0, 0)), "FORMERR qr rd 0/0/0/0"),
    "header-alone": (HEAD, "FORMERR qr rd 0/0/0/0"),
    "two-questions": (packet(counts=(2, 0, 0, 0), tail=packet()[12:]), "FORMERR qr rd 0/0/0/0"),
    "65535-questions": (packet(counts=(65_535, 0, 0, 0)), "FORMERR qr rd 0/0/0/0"),
    "an-answer-section": (packet(counts=(1, 1, 0, 0), tail=opt()), "FORMERR qr rd 0/0/0/0"),
    "additional-missing": (packet(counts=(1, 0, 0, 1)), "FORMERR qr rd 0/0/0/0"),
    "authority-missing": (packet(counts=(1, 0, 1, 0)), "FORMERR qr rd 0/0/0/0"),
    "bytes-behind": (packet(tail=b"\xff" * 30), "NOERROR qr aa rd 1/1/0/0"),
    "iquery": (packet(flags=RD | 1 << 11), "NOTIMP opcode=1 qr rd 0/0/0/0"),
    "status": (packet(flags=2 << 11), "NOTIMP opcode=2 qr 0/0/0/0"),
    "notify": (packet(flags=0x0400 | 4 << 11), "NOTIMP opcode=4 qr 0/0/0/0"),
    "update": (packet(flags=5 << 11, counts=(1, 1, 1, 1)), "NOTIMP opcode=5 qr 0/0/0/0"),
    "dso-without-a-body": (pack(">HHHHHH", ID, 6 << 11, 0, 0, 0, 0), "NOTIMP opcode=6 qr 0/0/0/0"),
    "opcode-15-over-rubbish": (pack(">HH", ID, 15 << 11) + b"\xff" * 40, "NOTIMP opcode=15 qr 0/0/0/0"),
}

FLAGS = {
    "rd-copied": (packet(flags=RD), "NOERROR qr aa rd 1/1/0/0"),
    "rd-not-invented": (packet(flags=0), "NOERROR qr aa 1/1/0/0"),
    "ad-cd-z-tc-ra-not-copied": (packet(flags=0x03F0), "NOERROR qr aa rd 1/1/0/0"),
    "aa-not-copied": (packet("example.com", flags=0x0400), "REFUSED qr 1/0/0/0"),
    "rcode-not-copied": (packet(flags=0x000F), "NOERROR qr aa 1/1/0/0"),
    "formerr-copies-rd-alone": (packet(flags=0x03F0, counts=(0, 0, 0, 0)), "FORMERR qr rd 0/0/0/0"),
}

NAMES = {
    "root": (packet("."), "REFUSED qr rd 1/0/0/0"),
    "0x20": (packet("rYO.KeRMpany.wG"), "NOERROR qr aa rd 1/1/0/0"),
    "label-of-63": (packet(b"\x3f" + b"a" * 63 + b"\0"), "REFUSED qr rd 1/0/0/0"),
    "label-of-64": (packet(b"\x40" + b"a" * 64 + b"\0"), "FORMERR qr rd 0/0/0/0"),
    "label-of-128": (packet(b"\x80" + b"a" * 128 + b"\0"), "FORMERR qr rd 0/0/0/0"),
    "label-of-191": (packet(b"\xbf" + b"a" * 191 + b"\0"), "FORMERR qr rd 0/0/0/0"),
    "255-bytes": (packet(LONG + b"\x0d" + b"a" * 13 + b"\0"), "REFUSED qr rd 1/0/0/0"),
    "256-bytes": (packet(LONG + b"\x0e" + b"a" * 14 + b"\0"), "FORMERR qr rd 0/0/0/0"),
    "pointer-to-itself": (packet(b"\xc0\x0c"), "FORMERR qr rd 0/0/0/0"),
    "pointer-forward": (packet(b"\xc0\x12", tail=wire("ryo.kermpany.wg")), "FORMERR qr rd 0/0/0/0"),
    "pointer-into-the-header": (packet(b"\xc0\x04"), "FORMERR qr rd 0/0/0/0"),
    "pointer-behind-a-label": (packet(b"\x03ryo\xc0\x0c"), "FORMERR qr rd 0/0/0/0"),
    "cut-in-a-label": (HEAD + b"\x08kerm", "FORMERR qr rd 0/0/0/0"),
    "no-end": (HEAD + b"\x03ryo", "FORMERR qr rd 0/0/0/0"),
    "nothing-behind-the-name": (HEAD + wire("ryo.kermpany.wg"), "FORMERR qr rd 0/0/0/0"),
    "half-a-class": (packet()[:-1], "FORMERR qr rd 0/0/0/0"),
    "not-utf-8": (packet(b"\x02\xff\xfe" + wire("kermpany.wg")), "NXDOMAIN qr aa rd 1/0/1/0"),
    "a-zero-in-a-label": (packet(b"\x03r\0o" + wire("kermpany.wg")), "NXDOMAIN qr aa rd 1/0/1/0"),
    "a-dot-in-a-label": (packet(b"\x0cryo.kermpany\x02wg\0"), "REFUSED qr rd 1/0/0/0"),
    "apex-inside-a-label": (packet(b"\x0ax\x08kermpany\x02wg\0"), "REFUSED qr rd 1/0/0/0"),
    "in-addr-inside-a-label": (
        packet(b"\x015\x013\x0242\x0210\x09x\x07in-addr\x04arpa\0", "PTR"),
        "REFUSED qr rd 1/0/0/0",
    ),
    "in-addr-inside-a-label-absent": (
        packet(b"\x019\x013\x0242\x0210\x09x\x07in-addr\x04arpa\0", "PTR"),
        "REFUSED qr rd 1/0/0/0",
    ),
}

TYPES = {
    "aaaa": (packet(type_="AAAA"), "NOERROR qr aa rd 1/0/1/0"),
    "https-is-65-not-97": (packet(type_=65), "NOERROR qr aa rd 1/0/1/0"),
    "type-0x4141": (packet(type_=0x4141), "NOERROR qr aa rd 1/0/1/0"),
    "private-type": (packet(type_=65_280), "NOERROR qr aa rd 1/0/1/0"),
    "type-0": (packet(type_=0), "NOERROR qr aa rd 1/0/1/0"),
    "any": (packet(type_="ANY"), "NOERROR qr aa rd 1/1/0/0"),
    "any-at-the-apex": (packet("kermpany.wg", "ANY"), "NOERROR qr aa rd 1/1/0/0"),
    "axfr": (packet("kermpany.wg", "AXFR"), "REFUSED qr rd 1/0/0/0"),
    "ixfr": (
        packet("kermpany.wg", "IXFR", counts=(1, 0, 1, 0), tail=b"\xc0\x0c" + pack(">HHIH", 6, 1, 0, 22) + b"\0" * 22),
        "REFUSED qr rd 1/0/0/0",
    ),
    "axfr-of-the-reverse-zone": (packet("42.10.in-addr.arpa", "AXFR"), "REFUSED qr rd 1/0/0/0"),
    "elsewhere": (packet("example.com"), "REFUSED qr rd 1/0/0/0"),
    "above-the-apex": (packet("wg", "SOA"), "REFUSED qr rd 1/0/0/0"),
    "chaos": (packet("version.bind", "TXT", 3), "REFUSED qr rd 1/0/0/0"),
    "chaos-of-a-peer": (packet(class_=3), "REFUSED qr rd 1/0/0/0"),
    "hesiod": (packet(class_=4), "REFUSED qr rd 1/0/0/0"),
    "class-none": (packet(class_=254), "REFUSED qr rd 1/0/0/0"),
    # "Any class" can't be answered with authority by who serves one class (RFC 1035 6.2).
    "class-any": (packet(class_=255), "REFUSED qr rd 1/0/0/0"),
    "class-0": (packet(class_=0), "REFUSED qr rd 1/0/0/0"),
}

_COOKIE, _SHORT_COOKIE, _KEEP_ALIVE, _NSID = (
    pack(">HH", 10, 8) + b"c" * 8,
    pack(">HH", 10, 3) + b"ccc",
    pack(">HHH", 11, 2, 100),
    pack(">HH", 3, 0),
)
_A_RECORD = b"\xc0\x0c" + pack(">HHIH", 1, 1, 60, 4) + b"\x0a\x2a\x00\x01"

EDNS = {
    "opt": (with_opt(opt()), "NOERROR qr aa rd 1/1/0/1 opt"),
    "do-copied": (with_opt(opt(ttl=DO)), "NOERROR qr aa rd 1/1/0/1 opt:do"),
    "z-flags-dropped": (with_opt(opt(ttl=0x7FFF)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "extended-rcode-ignored": (with_opt(opt(ttl=0xFF00_0000)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "size-0": (with_opt(opt(0)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "size-65535": (with_opt(opt(65_535)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "in-a-refusal": (with_opt(opt(), name="example.com"), "REFUSED qr rd 1/0/0/1 opt"),
    "in-a-negative": (with_opt(opt(ttl=DO), name="nobody.kermpany.wg"), "NXDOMAIN qr aa rd 1/0/1/1 opt:do"),
    "version-1": (with_opt(opt(ttl=0x0001_0000)), "BADVERS qr rd 1/0/0/1 opt"),
    "version-1-do": (with_opt(opt(ttl=0x0001_8000)), "BADVERS qr rd 1/0/0/1 opt:do"),
    "version-255-with-options": (with_opt(opt(ttl=0x00FF_0000, options=_COOKIE)), "BADVERS qr rd 1/0/0/1 opt"),
    "unknown-option": (with_opt(opt(options=pack(">HH", 65_001, 5) + b"hello")), "NOERROR qr aa rd 1/1/0/1 opt"),
    "nsid": (with_opt(opt(options=_NSID)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "cookie": (with_opt(opt(options=_COOKIE)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "cookie-of-a-bad-length": (with_opt(opt(options=_SHORT_COOKIE)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "keep-alive": (with_opt(opt(options=_KEEP_ALIVE)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "two-options": (with_opt(opt(options=_COOKIE + _NSID)), "NOERROR qr aa rd 1/1/0/1 opt"),
    "behind-another-record": (with_opt(_A_RECORD + opt(), 2), "NOERROR qr aa rd 1/1/0/1 opt"),
    "another-record-alone": (with_opt(_A_RECORD), "NOERROR qr aa rd 1/1/0/0"),
    "two-opts": (with_opt(opt() + opt(), 2), "FORMERR qr rd 0/0/0/0"),
    "not-at-the-root": (with_opt(opt(owner=b"\x01x\0")), "FORMERR qr rd 0/0/0/0"),
    "owner-is-a-pointer": (with_opt(opt(owner=b"\xc0\x1c")), "FORMERR qr rd 0/0/0/0"),
    "in-the-authority": (packet(counts=(1, 0, 1, 0), tail=opt()), "FORMERR qr rd 0/0/0/0"),
    "past-the-end": (with_opt(opt(length=4)), "FORMERR qr rd 0/0/0/0"),
    "cut": (with_opt(opt()[:-1]), "FORMERR qr rd 0/0/0/0"),
    "option-past-its-end": (with_opt(opt(options=pack(">HH", 3, 9) + b"x")), "FORMERR qr rd 0/0/0/0"),
    "half-an-option": (with_opt(opt(options=b"\0\x03\0")), "FORMERR qr rd 0/0/0/0"),
}

TABLE = HEADERS | FLAGS | NAMES | TYPES | EDNS
assert len(TABLE) == len(HEADERS) + len(FLAGS) + len(NAMES) + len(TYPES) + len(EDNS), "two packets have one name"


@pytest.mark.parametrize("sent", SILENT.values(), ids=SILENT)
def test_what_is_no_question_gets_silence(sent: bytes) -> None:
    assert reply(sent) is None


@pytest.mark.parametrize(("sent", "expected"), TABLE.values(), ids=TABLE)
def test_each_packet_gets_the_answer_it_deserves(sent: bytes, expected: str) -> None:
    assert summary(reply(sent)) == expected


@pytest.mark.parametrize("sent", [sent for sent, _ in TABLE.values()], ids=TABLE)
def test_the_same_packet_gets_the_same_answer_over_tcp(sent: bytes) -> None:
    assert reply(sent, tcp=True) == reply(sent)


@pytest.mark.parametrize("sent", [sent for sent, _ in TABLE.values()], ids=TABLE)
def test_every_answer_repeats_id_and_question_and_sets_no_flag_of_its_own(sent: bytes) -> None:
    answer = reply(sent)
    assert answer is not None
    assert answer[:2] == sent[:2]
    assert answer[3] & 0xF0 == 0, "RA, Z, AD and CD stay 0"
    if answer[4:6] == b"\0\1":
        assert question_of(answer) == question_of(sent)


def test_the_question_comes_back_in_the_case_it_was_asked_in() -> None:
    asked = packet("rYo.KERMpany.Wg", 65)
    answer = reply(asked)
    assert answer is not None
    assert answer[12 : len(asked)] == asked[12:]


def test_a_transfer_is_refused_on_tcp_with_nothing_in_it() -> None:
    assert summary(reply(packet("kermpany.wg", "AXFR"), tcp=True)) == "REFUSED qr rd 1/0/0/0"
