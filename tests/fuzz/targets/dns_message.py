"""A datagram, or one question over TCP, to the DNS server: silence for what is no question, else an answer to it that
an independent reader can read."""

from inndns.server import DnsServer
from tests.dns.asking import ADDRESS, VILLAGE
from tests.dns.test_message import SILENT, TABLE
from tests.dns.test_message_fuzz import check as is_an_answer
from tests.dns.test_message_poison import POISONS

_LONGEST = 65_535  # what a length over TCP can say

SEEDS = [
    sent for sent in [*(sent for sent, _ in TABLE.values()), *SILENT.values(), *POISONS.values()] if len(sent) < 1500
]
WORDS = [b"\xc0\x0c", b"\xc0", b"\x3f", b"\x40", b"\0\0\x29", b"\x01*", b"\x04arpa\0", b"\x02wg\0", b"\x08kermpany"]

_respond = DnsServer(lambda: VILLAGE).respond


def check(data: bytes) -> None:
    sent = data[:_LONGEST]
    is_question = len(sent) >= 12 and not sent[2] & 0x80
    for transport, most in (("udp", 1232), ("tcp", None)):
        answer = _respond(sent, ADDRESS["ryo"], transport)
        assert (answer is not None) == is_question
        if answer is not None:
            is_an_answer(sent, answer, most)
