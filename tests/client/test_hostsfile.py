"""The hosts file: our block between innernet's markers, and every other byte as it was."""

import os
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.failure import SYSTEM, Failure
from innerd.host.hostsfile import Block, replaced, update

BEGIN, END = b"# DO NOT EDIT innernet kermpany BEGIN", b"# DO NOT EDIT innernet kermpany END"
RYO, MARI = b"10.42.128.1 ryo.kermpany.wg", b"10.42.128.2 mari.kermpany.wg"
SECTION = b"\n".join([BEGIN, RYO, MARI, END]) + b"\n"


def filled(suffix: str, *names: tuple[str, str]) -> Block:
    block = Block(suffix)
    block.fill((number, [(ip_address(ip), name)]) for number, (ip, name) in enumerate(names))
    return block


def test_lines_go_by_address_ipv4_first_with_the_suffix() -> None:
    block = filled("kermpany.wg", ("fd00::2", "six"), ("10.0.0.10", "ten"), ("10.0.0.9", "nine"))
    lines = [b"10.0.0.9 nine.kermpany.wg", b"10.0.0.10 ten.kermpany.wg", b"fd00::2 six.kermpany.wg"]
    assert block.lines() == lines


def test_an_empty_suffix_gives_bare_names() -> None:
    assert filled("", ("10.0.0.9", "nine")).lines() == [b"10.0.0.9 nine"]


def test_an_address_is_called_by_its_peers_own_name_first() -> None:
    block, ten = filled("wg"), ip_address("10.0.0.10")
    block.put(7, [(ten, "ten"), (ten, "alias")])
    assert block.lines() == [b"10.0.0.10 ten.wg", b"10.0.0.10 alias.wg"]


names_of_one = st.lists(st.tuples(st.integers(1, 5), st.sampled_from("abc")), max_size=3)


@given(st.lists(st.tuples(st.integers(1, 4), names_of_one), max_size=12))
def test_a_block_that_was_changed_is_what_it_would_be_made_anew(puts: list[tuple[int, list[tuple[int, str]]]]) -> None:
    changed, anew, last = Block("wg"), Block("wg"), {}
    for number, names in puts:
        last[number] = [(ip_address(f"10.0.0.{host}"), name) for host, name in names]
        changed.put(number, last[number])
    anew.fill(last.items())
    assert changed.lines() == anew.lines()


TABLE = [
    pytest.param(b"", [RYO, MARI], SECTION, id="an empty file"),
    pytest.param(b"a\n", [RYO, MARI], b"a\n\n" + SECTION, id="no block yet: after a blank line"),
    pytest.param(b"a\n\n", [RYO, MARI], b"a\n\n" + SECTION, id="no block yet, and a blank line is there"),
    pytest.param(b"a", [RYO, MARI], b"a\n\n" + SECTION, id="no newline at the end"),
    pytest.param(
        b"a\n" + SECTION + b"b\n", [RYO], b"a\n" + BEGIN + b"\n" + RYO + b"\n" + END + b"\nb\n", id="in place"
    ),
    pytest.param(
        b"a\n" + SECTION[:-1], [RYO], b"a\n" + BEGIN + b"\n" + RYO + b"\n" + END, id="in place, no newline at the end"
    ),
    pytest.param(b"a\n" + SECTION + b"b\n", [], b"a\nb\n", id="an empty block removes the section"),
    pytest.param(b"a\n\n" + SECTION, [], b"a\n", id="the blank line in front goes with it"),
    pytest.param(SECTION, [], b"", id="nothing but the block"),
    pytest.param(b"a\n", [], b"a\n", id="nothing to remove"),
    pytest.param(
        b"  " + BEGIN + b"\t\r\nold\n " + END + b" \n", [RYO], BEGIN + b"\n" + RYO + b"\n" + END + b"\n", id="blanks"
    ),
    pytest.param(b"1.2.3.4 \xff\xfe\n", [RYO, MARI], b"1.2.3.4 \xff\xfe\n\n" + SECTION, id="bytes that are no UTF-8"),
    pytest.param(b"a\r\nb\r\n", [RYO, MARI], b"a\r\nb\r\n\n" + SECTION, id="lines of another system"),
]


TABLE += [
    pytest.param(SECTION + b"a\n" + SECTION, [RYO], BEGIN + b"\n" + RYO + b"\n" + END + b"\na\n", id="one of two"),
    pytest.param(b"a\n" + SECTION + b"b\n" + SECTION * 2, [], b"a\nb\n", id="all of three"),
]


@pytest.mark.parametrize(("before", "block", "after"), TABLE)
def test_the_block_is_put_where_it_belongs(before: bytes, block: list[bytes], after: bytes) -> None:
    assert replaced(before, "kermpany", block) == after


@pytest.mark.parametrize("name", ["kermpany2", "kerm", "other"])
def test_the_block_of_another_network_is_not_ours(name: str) -> None:
    theirs = SECTION.replace(b"kermpany BEGIN", name.encode() + b" BEGIN").replace(
        b"kermpany END", name.encode() + b" END"
    )
    both = replaced(theirs, "kermpany", [RYO])
    assert both.startswith(theirs)
    assert replaced(both, "kermpany", []) == theirs
    assert MARI in both  # theirs


BROKEN = [
    pytest.param(BEGIN + b"\na\n", id="no end"),
    pytest.param(b"a\n" + END + b"\n", id="no begin"),
    pytest.param(END + b"\na\n" + BEGIN + b"\n", id="the end first"),
    pytest.param(BEGIN + b"\n" + BEGIN + b"\n" + END + b"\n" + END + b"\n", id="one in the other"),
    pytest.param(BEGIN + b"\n" + BEGIN + b"\n" + END + b"\n", id="two begins"),
]


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("block", [[RYO], []], ids=["to write", "to remove"])
def test_markers_that_are_no_pair_are_refused_and_nothing_is_guessed(text: bytes, block: list[bytes]) -> None:
    with pytest.raises(Failure) as refused:
        replaced(text, "kermpany", block)
    assert (refused.value.status, refused.value.code) == (SYSTEM, "hosts_markers")


foreign = st.lists(st.binary(max_size=8).filter(lambda b: b"\n" not in b), max_size=6).map(b"\n".join)
blocks = st.lists(st.sampled_from([RYO, MARI, b"fd00::8 six.kermpany.wg"]), min_size=1, max_size=3)


def section(block: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in [BEGIN, *block, END])


@settings(max_examples=300, deadline=None)
@given(foreign, blocks)
def test_a_new_block_leaves_every_byte_of_the_file_before_it(text: bytes, block: list[bytes]) -> None:
    after = replaced(text, "kermpany", block)
    assert after.startswith(text)
    assert after.endswith(section(block))
    between = after[len(text) : -len(section(block))]
    assert between in (b"", b"\n", b"\n\n")  # the end of a last line that had none, and a blank line


@settings(max_examples=300, deadline=None)
@given(foreign, foreign, blocks, blocks)
def test_a_block_that_changes_leaves_every_byte_around_it(
    before: bytes, after: bytes, old: list[bytes], new: list[bytes]
) -> None:
    head = before + b"\n" if before else b""
    changed = replaced(head + section(old) + after, "kermpany", new)
    assert changed == head + section(new) + after
    assert replaced(changed, "kermpany", new) == changed


@settings(max_examples=300, deadline=None)
@given(foreign, foreign, blocks)
def test_a_block_that_goes_takes_at_most_the_blank_line_in_front(
    before: bytes, after: bytes, block: list[bytes]
) -> None:
    head = before + b"\n" if before else b""
    left = replaced(head + section(block) + after, "kermpany", [])
    assert left in (head + after, head.removesuffix(b"\n") + after)


# -- the file ---------------------------------------------------------------------------------------------------


def test_a_missing_file_is_made_for_all_to_read(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    assert update(hosts, "kermpany", [RYO, MARI])
    assert hosts.read_bytes() == SECTION
    assert hosts.stat().st_mode & 0o777 == 0o644


def test_an_up_to_date_file_is_not_touched(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"a\n\n" + SECTION)
    before = hosts.stat()
    assert not update(hosts, "kermpany", [RYO, MARI])
    assert (hosts.stat().st_ino, hosts.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not update(tmp_path / "none", "kermpany", [])
    assert not (tmp_path / "none").exists()


def test_the_file_is_replaced_in_one_step_with_its_mode_and_owner(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"a\n")
    hosts.chmod(0o664)
    os.chown(hosts, 12, 34)
    with hosts.open("rb") as reader:
        update(hosts, "kermpany", [RYO, MARI])
        assert reader.read() == b"a\n"  # who has it open reads the old file to its end
    status = hosts.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o664, 12, 34)
    assert [path.name for path in tmp_path.iterdir()] == ["hosts"]


def test_a_link_stays_a_link_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "hosts"
    real.write_bytes(b"a\n")
    link = tmp_path / "hosts"
    link.symlink_to("real/hosts")
    update(link, "kermpany", [RYO, MARI])
    assert link.is_symlink()
    assert real.read_bytes() == b"a\n\n" + SECTION
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["hosts"]


def test_a_refused_file_stays_as_it_was(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(END + b"\n")
    with pytest.raises(Failure):
        update(hosts, "kermpany", [RYO])
    assert hosts.read_bytes() == END + b"\n"
