"""What wireguard-go answers to `get=1`, read."""

from base64 import b64encode

import pytest

from innerd.wireguard.device import Device, DeviceError, DevicePeer
from innerd.wireguard.userspace import DeviceReader

# The example of https://www.wireguard.com/xplatform/, with a handshake, and keys that no version knows.
ANSWER = """\
private_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a
protocol_version=1
listen_port=12912
fwmark=1
public_key=b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33
preshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52
protocol_version=1
endpoint=[abcd:23::33%2]:51820
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
allowed_ip=192.168.4.4/32
public_key=58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376
tx_bytes=38333
rx_bytes=2224
allowed_ip=192.168.4.6/32
allowed_ip=fd00::6/128
a_key_of_tomorrow=x=y=z
last_handshake_time_sec=1790000000
last_handshake_time_nsec=500000000
persistent_keepalive_interval=111
endpoint=182.122.22.19:3233
public_key=662e14fd594556f522604703340351258903b64f35553763f19426ab2a515c58
protocol_version=1
"""


def base64(key: str) -> str:
    return b64encode(bytes.fromhex(key)).decode()


FIRST = base64("b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33")
SECOND = base64("58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376")
THIRD = base64("662e14fd594556f522604703340351258903b64f35553763f19426ab2a515c58")


def test_a_device_is_read_with_all_that_we_know_of_it() -> None:
    assert DeviceReader().read(ANSWER) == Device(
        private_key="6EtabScXwQA6E7QxVwNT26ypFGzxUMX4V1aA/rpSAno=",
        listen_port=12912,
        peers={
            FIRST: DevicePeer(
                public_key=FIRST, allowed_ips=frozenset({"192.168.4.4/32"}), endpoint="[abcd:23::33%2]:51820"
            ),
            SECOND: DevicePeer(
                public_key=SECOND,
                allowed_ips=frozenset({"192.168.4.6/32", "fd00::6/128"}),
                endpoint="182.122.22.19:3233",
                keepalive=111,
                last_handshake=1790000000.5,
                rx_bytes=2224,
                tx_bytes=38333,
            ),
            THIRD: DevicePeer(public_key=THIRD),
        },
    )


@pytest.mark.parametrize(
    ("text", "device"),
    [("", Device()), ("listen_port=7\n", Device(listen_port=7)), ("fwmark=1\n\n", Device())],
    ids=["nothing", "a port and no key", "only what we don't care for"],
)
def test_a_bare_device_is_read(text: str, device: Device) -> None:
    assert DeviceReader().read(text) == device


def test_a_preshared_key_is_nobodys_business() -> None:
    assert "GIUVCT6V" not in str(DeviceReader().read(ANSWER).peers)
    assert "188515093e95" not in str(DeviceReader().read(ANSWER).peers)


LONG = "9" * 5000


@pytest.mark.parametrize("value", ["-1", LONG, f"-{LONG}", str(2**63), "1e9", "", "\u0663", "99999999999999"])
@pytest.mark.parametrize("name", ["last_handshake_time_sec", "last_handshake_time_nsec"])
def test_a_time_that_is_none_is_an_error_with_its_reason(name: str, value: str) -> None:
    with pytest.raises(DeviceError, match="can't be read"):
        DeviceReader().read(f"public_key={'ab' * 32}\n{name}={value}\n")


@pytest.mark.parametrize("value", ["-1", LONG, str(2**64), "x", ""])
@pytest.mark.parametrize("name", ["rx_bytes", "tx_bytes", "persistent_keepalive_interval"])
def test_a_number_that_is_none_is_an_error_with_its_reason(name: str, value: str) -> None:
    with pytest.raises(DeviceError, match="can't be read"):
        DeviceReader().read(f"public_key={'ab' * 32}\n{name}={value}\n")


@pytest.mark.parametrize("value", ["-1", "65536", LONG])
def test_a_port_that_is_none_is_an_error_with_its_reason(value: str) -> None:
    with pytest.raises(DeviceError, match="can't be read"):
        DeviceReader().read(f"listen_port={value}\n")
