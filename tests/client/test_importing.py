"""`inn import-innernet`: an innernet client's files, as it writes them, become ours; what is wrong is said."""

import json
from pathlib import Path

import pytest

from innclient import config
from innclient.agent import store
from innclient.join import from_innernet
from innclient.paths import Paths
from innerd.failure import Failure
from tests.world import key, private_key

CONF = f"""
[interface]
network-name = "evilcorp"
address = "10.66.1.5/16"
private-key = "{private_key("ryo")}"
listen-port = 51820
something-new = 1

[server]
public-key = "{key("coordinator")}"
external-endpoint = "vpn.example.com:51820"
internal-endpoint = "10.66.0.1:51820"

[peer-endpoint-overrides]
"10.66.1.9" = "192.168.1.9:51820"
"""
PEERS = [
    {"id": 1, "name": "innernet-server", "ip": "10.66.0.1", "public_key": key("coordinator"), "is_disabled": False},
    {"id": 7, "name": "gone", "ip": "10.66.1.9", "public_key": key("gone"), "is_disabled": True},
]
CACHE = json.dumps({"version": "1", "peers": PEERS, "cidrs": []})


def files(folder: Path, conf: str = CONF, cache: str | None = CACHE) -> tuple[Path, Path]:
    (folder / "evilcorp.conf").write_text(conf)
    if cache is not None:
        (folder / "evilcorp.json").write_text(cache)
    return folder / "evilcorp.conf", folder / "evilcorp.json"


def paths(folder: Path) -> Paths:
    return Paths("evilcorp", folder / "etc", folder / "lib", folder / "run")


def test_key_address_overrides_and_pins_come_along(tmp_path: Path) -> None:
    ours = paths(tmp_path)
    from_innernet.take_over(ours, *from_innernet.read(*files(tmp_path)))
    loaded = config.load(ours)
    assert loaded.values.private_key == private_key("ryo")
    assert str(loaded.values.address) == "10.66.1.5/16"
    assert loaded.values.listen_port == 51820
    assert {str(ip): to for ip, to in loaded.overrides.items()} == {"10.66.1.9": "192.168.1.9:51820"}
    assert store.load_pins(ours).keys == {"10.66.0.1": key("coordinator"), "10.66.1.9": key("gone")}
    assert ours.config.stat().st_mode & 0o777 == 0o600


def test_without_a_cache_there_are_no_pins_yet(tmp_path: Path) -> None:
    assert from_innernet.read(*files(tmp_path, cache=None))[1] == {}


@pytest.mark.parametrize("cache", ["", "{", '{"peers": [{"ip": "10.66.0.1"}]}', CACHE.replace("10.66.1.9", "10.66.1")])
def test_a_torn_cache_is_no_reason_to_forget_pins(tmp_path: Path, cache: str) -> None:
    with pytest.raises(Failure) as failed:
        from_innernet.read(*files(tmp_path, cache=cache))
    assert (failed.value.status, failed.value.code) == (6, "state_unreadable")


def test_what_is_installed_already_is_not_touched(tmp_path: Path) -> None:
    ours = paths(tmp_path)
    made, pins = from_innernet.read(*files(tmp_path))
    from_innernet.take_over(ours, made, pins)
    before = ours.config.read_bytes()
    with pytest.raises(Failure) as failed:
        from_innernet.take_over(ours, made, pins)
    assert (failed.value.status, failed.value.code) == (3, "already_installed")
    assert ours.config.read_bytes() == before


def test_a_missing_or_broken_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure) as missing:
        from_innernet.read(tmp_path / "none.conf", tmp_path / "none.json")
    assert (missing.value.status, missing.value.code) == (4, "file_not_found")
    with pytest.raises(Failure) as broken:
        from_innernet.read(*files(tmp_path, conf=CONF.replace(private_key("ryo"), "banana")))
    assert (broken.value.status, broken.value.code) == (2, "config_invalid")
