"""Checkpoints and the signed notes that carry them: the form that Go's `golang.org/x/mod/sumdb/note` writes and
reads, and nothing that is almost so."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerd.domain.errors import Refused
from innerd.wire import note
from innerd.wire.checkpoint import Checkpoint, parse, read, sign, signer
from innerd.wire.note import NotSigned, Signer, opened, parse_verifier, parted

ID = "00112233445566778899aabbccddeeff"
NAME = f"innerd/{ID}"
SEED = sha256(b"a key").digest()
HEAD = Checkpoint(ID, 1, 2, "f64a34c2f40cbf1a03fafee1b3e557d323c84b26f596f9db9f83b93b26be6408")

# Made by Go's note.GenerateKey (its randomness: SEED) and note.Sign.
GO_KEY = f"{NAME}+dbfb00ed+AbtgSDZc7DxtEijf4CTBAeLTn6YwY5nohMMQj/OlzT2f"
GO_TEXT = f"{NAME}\n2\n9ko0wvQMvxoD+v7hs+VX0yPISyb1lvnbn4O5Oya+ZAg=\ngeneration 1\n"
GO_LINE = (
    f"\u2014 {NAME} 2/sA7TiPPA4Mgx6lTyAbsIKxtNSn3AfBYDSPaCpbmM2MB1Z/9s/7k6PEzdpRdqCjnS7KokKoWiJzO2pF4S58TrdxVwM=\n"
)
GO_NOTE = f"{GO_TEXT}\n{GO_LINE}"
WITNESS_LINE = (  # of the same text, by another key
    "\u2014 witness.example/w "
    "Q3i2keVi/cFOxvsmKzz99MeIGdxZmwyKHOiI6lpco5z5gwWBkw0KpQXuVnKqgGGuu/K378DpnEkBqYUJ5zCuZEED5wY=\n"
)

BY = Signer(NAME, SEED)
VERIFIER = BY.verifier

ids = st.binary(min_size=16, max_size=16).map(bytes.hex)
checkpoints = st.builds(
    Checkpoint,
    ids,
    st.integers(1, 10**9 - 1),
    st.integers(1, 10**15 - 1),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
)


# -- as others write it ---------------------------------------------------------------------------------------------


def test_what_go_signs_we_sign_byte_for_byte() -> None:
    assert str(VERIFIER) == GO_KEY
    assert HEAD.text == GO_TEXT
    assert sign(BY, HEAD) == GO_NOTE


def test_what_go_signed_we_read() -> None:
    assert read(GO_NOTE, parse_verifier(GO_KEY)) == HEAD


def test_lines_of_other_signers_are_left_aside() -> None:
    for lines in (GO_LINE + WITNESS_LINE, WITNESS_LINE + GO_LINE):
        assert read(f"{GO_TEXT}\n{lines}", VERIFIER) == HEAD


def test_the_key_follows_from_the_coordinators_key_and_the_network() -> None:
    """As Go's crypto/hkdf and crypto/ed25519 derive it. Another derivation would be another key, and every client
    would call it broken."""
    made = signer(bytes(range(32)), ID).verifier
    assert str(made) == f"{NAME}+379c43ba+AcmE4UAKWU/2loSrlD2uYWGycBDdY+WhVQ/TaH5Lsn7Z"
    assert signer(bytes(range(32)), "ff" * 16).verifier.public_key != made.public_key
    assert signer(bytes(range(1, 33)), ID).verifier.public_key != made.public_key


# -- round trips ----------------------------------------------------------------------------------------------------


@given(checkpoints)
def test_a_checkpoint_is_read_as_it_was_signed(checkpoint: Checkpoint) -> None:
    by = Signer(f"innerd/{checkpoint.network_id}", SEED)
    signed = sign(by, checkpoint)
    assert read(signed, by.verifier) == checkpoint
    assert sign(by, checkpoint) == signed  # the same head is the same note
    assert parted(signed) == [signed]


@given(st.lists(checkpoints, max_size=5), st.sampled_from(["", "\n", "\n\n"]))
def test_notes_behind_each_other_are_told_apart(many: list[Checkpoint], between: str) -> None:
    notes = [sign(BY, checkpoint) for checkpoint in many]
    assert parted(between.join(notes)) == notes


@given(checkpoints, checkpoints)
def test_two_checkpoints_never_share_a_text(one: Checkpoint, other: Checkpoint) -> None:
    assert (one.text == other.text) == (one == other)


def test_later_releases_may_add_lines() -> None:
    assert parse(GO_TEXT + "origin of the year\n") == HEAD


# -- strictness -----------------------------------------------------------------------------------------------------


@given(st.integers(0, len(GO_NOTE) - 1), st.characters(codec="utf-8"))
def test_a_note_of_which_one_character_is_other_is_not_believed(index: int, character: str) -> None:
    if character == GO_NOTE[index]:
        return
    with pytest.raises((Refused, NotSigned)):
        read(GO_NOTE[:index] + character + GO_NOTE[index + 1 :], VERIFIER)


@given(st.text())
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(Refused):
        read(text, VERIFIER)
    assert "".join(parted(text)).replace("\n", "") == text.replace("\n", "")


NO_NOTES = {
    "nothing": "",
    "no signature": GO_TEXT,
    "no line behind the empty one": GO_TEXT + "\n",
    "no empty line": GO_TEXT + GO_LINE,
    "no last line feed": GO_NOTE.removesuffix("\n"),
    "an empty line behind": GO_NOTE + "\n",
    "a carriage return": GO_NOTE.replace("\n", "\r\n"),
    "a tab": GO_NOTE.replace("generation ", "generation\t"),
    "a hyphen for the dash": GO_NOTE.replace("\u2014", "-"),
    "an en dash for the dash": GO_NOTE.replace("\u2014", "\u2013"),
    "base64 without padding": GO_NOTE.replace("=\n", "\n"),
    "base64 with other spare bits": GO_NOTE.replace("VwM=\n", "VwN=\n"),
    "a signature of no bytes": f"{GO_TEXT}\n\u2014 {NAME} 2/sA7Q==\n",
    "a name with a plus": GO_NOTE.replace(f"\u2014 {NAME}", f"\u2014 {NAME}+"),
    "too many signatures": f"{GO_TEXT}\n{GO_LINE}{WITNESS_LINE * 100}",
    "too long": f"{GO_TEXT}{'x' * 16_384}\n\n{GO_LINE}",
}


@pytest.mark.parametrize("what", NO_NOTES)
def test_what_is_no_note_is_refused(what: str) -> None:
    with pytest.raises(Refused) as refused:
        opened(NO_NOTES[what], VERIFIER)
    assert refused.value.code == "invalid_checkpoint"


def test_a_signature_is_64_bytes_and_takes_none_of_the_text() -> None:
    """Bytes behind it would count as text that was signed."""
    longer = note.unbase64(GO_LINE.split(" ")[2].strip())
    for data in (longer + b"x", longer[:-1], longer[:4] + BY.sign("x" + GO_TEXT).encode()[:64]):
        line = GO_LINE.replace(GO_LINE.split(" ")[2], note.b64encode(data).decode() + "\n")
        with pytest.raises(NotSigned):
            opened(f"{GO_TEXT}\n{line}", VERIFIER)


def test_the_first_line_of_our_key_decides() -> None:
    forged = Signer(NAME, SEED).sign("something else\n").rpartition("\n\n")[2]
    with pytest.raises(NotSigned):
        read(f"{GO_TEXT}\n{forged}{GO_LINE}", VERIFIER)


def test_another_key_and_another_network_are_not_believed() -> None:
    with pytest.raises(NotSigned):
        read(sign(Signer(NAME, sha256(b"another").digest()), HEAD), VERIFIER)
    with pytest.raises(NotSigned):
        read(sign(BY, Checkpoint("ff" * 16, 1, 2, HEAD.hash)), VERIFIER)
    with pytest.raises(NotSigned):
        read(sign(Signer(f"innerd/{'ff' * 16}", SEED), HEAD), VERIFIER)


@pytest.mark.parametrize(
    "text",
    [
        GO_TEXT.replace("\n2\n", "\n02\n"),
        GO_TEXT.replace("\n2\n", "\n0\n"),
        GO_TEXT.replace("\n2\n", "\n+2\n"),
        GO_TEXT.replace("\n2\n", "\n\u0662\n"),
        GO_TEXT.replace("\n2\n", f"\n{10**15}\n"),
        GO_TEXT.replace("generation 1\n", ""),
        GO_TEXT.replace("generation 1", "generation 0"),
        GO_TEXT.replace("generation 1", "generation  1"),
        GO_TEXT + "generation 2\n",
        GO_TEXT.replace("ZAg=", "ZAh="),
        GO_TEXT.replace("ZAg=", "ZA=="),
        GO_TEXT.replace(NAME, NAME.upper()),
        GO_TEXT.replace(NAME, "example.com/log"),
        GO_TEXT.removesuffix("\n"),
    ],
)
def test_a_text_that_is_almost_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(text)
    assert refused.value.code == "invalid_checkpoint"


@pytest.mark.parametrize(
    "text",
    [
        "",
        GO_KEY[:-1],
        GO_KEY.replace("+dbfb00ed", "+dbfb00ee"),
        GO_KEY.replace("+dbfb00ed", "+DBFB00ED"),
        GO_KEY.replace("+Ab", "+Ar"),
        GO_KEY.replace("innerd/", "innerd "),
        GO_KEY + "\n",
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse_verifier(text)


def test_a_verifier_key_is_read_as_it_is_written() -> None:
    assert parse_verifier(str(VERIFIER)) == VERIFIER
