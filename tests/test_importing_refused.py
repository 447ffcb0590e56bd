"""What can't be taken over from innernet-server is refused with its row or file, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.commands import Done, Host
from tests.innernet_files import Server, arguments
from tests.keeping import seen
from tests.world import key, private_key


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "innernet")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "host").mkdir()
    return Host(tmp_path / "host", "innerd")


def said(host: Host, server: Server) -> Done:
    done = host(*arguments(server))
    assert seen(host.folder) == {}, "what is refused leaves nothing behind"
    return done


# -- what nobody can hold -------------------------------------------------------------------------------------------

Spoil = Callable[[Server], object]


def second_spelling(server: Server) -> None:
    server.peer(10, "twin", "10.42.128.9", 3, public_key=key("mari").rstrip("="))


def second_root_below(server: Server) -> None:
    server.cidr(6, "other", "10.99.0.0/16", None)
    server.cidr(7, "below", "10.99.1.0/24", 6)


BAD_ROWS: dict[str, tuple[Spoil, str, str]] = {
    "the same range again, with host bits": (
        lambda s: s.cidr(6, "again", "10.42.3.9/24"),
        "cidr_overlaps",
        "cidr 6",
    ),
    "the root's range in itself": (lambda s: s.cidr(6, "again", "10.42.1.0/16"), "cidr_outside_parent", "cidr 6"),
    "a child that is its parent": (lambda s: s.cidr(6, "again", "10.42.3.7/24", 5), "cidr_outside_parent", "cidr 6"),
    "overlapping siblings": (lambda s: s.cidr(6, "wide", "10.42.2.0/23"), "cidr_overlaps", "cidr"),
    "a second root": (lambda s: s.cidr(6, "other", "10.99.0.0/16", None), "cidr_outside_parent", "cidr 6"),
    "a second root with children": (second_root_below, "cidr_outside_parent", "cidr 6"),
    "a second root, IPv6": (lambda s: s.cidr(6, "six", "fd00::/64", None), "cidr_outside_parent", "cidr 6"),
    "a malformed key": (lambda s: s.set("peers", 4, public_key="nonsense"), "invalid_key", "peer 4"),
    "an empty key": (lambda s: s.set("peers", 4, public_key=""), "invalid_key", "peer 4"),
    "a low-order key": (lambda s: s.set("peers", 4, public_key="A" * 43 + "="), "invalid_key", "peer 4"),
    "a key twice in two spellings": (second_spelling, "key_taken", "peer 10"),
    "a CIDR's name with a space": (lambda s: s.set("cidrs", 5, name="my cats"), "invalid_name", "cidr 5"),
    "a peer's name with a space": (lambda s: s.set("peers", 4, name="mari kato"), "invalid_name", "peer 4"),
    "a peer's name in capitals": (lambda s: s.set("peers", 4, name="Mari"), "invalid_name", "peer 4"),
    "an address that is none": (lambda s: s.set("peers", 4, ip="10.42"), "invalid_address", "peer 4"),
    "an address outside": (lambda s: s.set("peers", 4, ip="10.43.0.1"), "address_outside_cidr", "peer 4"),
    "an address of the other family": (lambda s: s.set("peers", 4, ip="fd00::1"), "address_outside_cidr", "peer 4"),
    "a broadcast address": (lambda s: s.set("peers", 9, ip="10.42.3.255"), "address_unassignable", "peer 9"),
    "a prefix too long": (lambda s: s.set("cidrs", 5, prefix=33), "invalid_range", "cidr 5"),
    "an association with itself": (
        lambda s: s.do("INSERT INTO associations VALUES (4, 3, 3)"),
        *("association_with_itself", "association 4"),
    ),
    "an association turned round": (
        lambda s: s.do("INSERT INTO associations VALUES (4, 3, 5)"),
        *("association_exists", "association 4"),
    ),
    "an association with nothing": (
        lambda s: s.do("INSERT INTO associations VALUES (4, 3, 99)"),
        *("cidr_not_found", "association 4"),
    ),
    "no coordinator": (lambda s: s.do("DELETE FROM peers WHERE id = 1"), "invalid_request", "peer 1"),
    "a disabled coordinator": (lambda s: s.set("peers", 1, is_disabled=1), "coordinator_protected", "peer 1"),
    "a coordinator without endpoint": (lambda s: s.set("peers", 1, endpoint=None), "invalid_endpoint", "peer 1"),
    "a coordinator nobody reaches": (lambda s: s.set("peers", 1, endpoint="0.0.0.0:1"), "invalid_endpoint", "peer 1"),
    "no infra CIDR": (lambda s: s.do("DELETE FROM cidrs WHERE id = 2"), "invalid_request", "infra"),
    "no root": (lambda s: s.do("DELETE FROM cidrs WHERE id = 1"), "invalid_request", "root"),
}


@pytest.mark.parametrize(("spoil", "code", "row"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_what_our_rules_can_not_hold_is_refused_with_its_row(host, server, spoil, code, row) -> None:
    spoil(server)
    done = said(host, server)
    assert (done.status, done.code) == (3, code)
    assert row in done.err
    assert str(server.database) in done.err


def other_key(server: Server) -> None:
    server.config.write_text(
        server.config.read_text().replace("private-key", "old-key") + f'private-key = "{key("x")}"\n'
    )


def config(old: str, new: str) -> Spoil:
    return lambda server: server.config.write_text(server.config.read_text().replace(old, new))


def renamed(name: str) -> Spoil:
    def spoil(server: Server) -> None:
        server.config = server.config.rename(server.config.with_name(name))

    return spoil


BAD_FILES: dict[str, Spoil] = {
    "another network's key in the config": other_key,
    "another address in the config": config("10.42.0.1", "10.42.0.2"),
    "a key that is none in the config": config('private-key = "', 'private-key = "x'),
    "half a key in the config": config(private_key("coordinator"), "abcd"),
    "no base64 in the config": config(private_key("coordinator"), "!" * 44),
    "no key in the config": config("private-key", "public-key"),
    "no port in the config": config("listen-port", "port"),
    "a port that is none": config("51820", "70000"),
    "port nought": config("51820", "0"),
    "a negative prefix": config("prefix = 16", "prefix = -1"),
    "a config that is no TOML": config("=", ":"),
    "a config in another encoding": lambda s: s.config.write_bytes(b"\xff\xfe"),
    "no config": lambda s: s.config.unlink(),
    "no database": lambda s: s.database.unlink(),
    "an empty database": lambda s: s.database.write_bytes(b""),
    "a database that is text": lambda s: s.database.write_text("no database\n" * 100),
    "another application's database": lambda s: s.do("ALTER TABLE peers RENAME TO songs"),
    "a database without a column": lambda s: s.drop("is_redeemed"),
    "text that is not UTF-8": lambda s: s.do("UPDATE peers SET name = CAST(x'ff' AS TEXT) WHERE id = 4"),
}


@pytest.mark.parametrize("spoil", BAD_FILES.values(), ids=BAD_FILES)
def test_files_that_are_not_one_innernet_network_are_a_usage_error(host, server, spoil) -> None:
    spoil(server)
    done = said(host, server)
    assert done.status == 2, done
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["Ferment.conf", "a-name-that-is-far-too-long.conf", "lo.conf"])
def test_a_network_whose_name_can_name_no_interface_of_ours_is_refused(host, server, name) -> None:
    renamed(name)(server)
    done = said(host, server)
    assert (done.status, done.code) in ((3, "invalid_name"), (2, "invalid_name"))
