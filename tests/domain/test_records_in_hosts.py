"""Of a peer's names, those that a hosts file can have."""

from ipaddress import ip_address, ip_network

from innerd.domain.records import addresses

IP, BLOCK = ip_address("10.42.0.7"), ip_network("10.42.0.0/16")


def named(*records: tuple[str, str, str]) -> list[tuple[str, str]]:
    return [(str(address), name) for address, name in addresses("ryo", IP, records, BLOCK)]


def test_a_peer_without_records_has_its_name() -> None:
    assert named() == [("10.42.0.7", "ryo")]


def test_addresses_and_aliases_are_names_too() -> None:
    assert named(
        ("app.@", "CNAME", "@"), ("git", "CNAME", "@"), ("db.@", "A", "10.42.0.8"), ("sql", "CNAME", "db.@")
    ) == [
        ("10.42.0.7", "ryo"),
        ("10.42.0.8", "db.ryo"),
        ("10.42.0.7", "app.ryo"),
        ("10.42.0.7", "git"),
        ("10.42.0.8", "sql"),
    ]


def test_what_a_hosts_file_can_not_have_is_left_out() -> None:
    assert named(
        ("*.app.@", "A", "10.42.0.7"),
        ("@", "TXT", "hello"),
        ("_http._tcp.@", "SRV", "0 0 80 @"),
        ("out", "CNAME", "example.com."),
        ("far.@", "A", "192.0.2.1"),
        ("odd.@", "A", "10.42.0.7 evil"),
    ) == [("10.42.0.7", "ryo")]
