"""A file of the host's in which a part is ours: on a disk that is full, as a mount of its own, read-only, with another
writer at the same time. Nobody's lines are lost."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from innerd.failure import SYSTEM, Failure
from innerd.host.hostsfile import update
from innerd.host.rewriting import rewrite

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")

FOREIGN = b"".join(b"192.0.2.%d host%d.example\n" % (n % 250, n) for n in range(300))
UPDATE = """
import sys
from pathlib import Path
from innerd.failure import Failure
from innerd.host.hostsfile import Block, update
from ipaddress import ip_address
block, count = Block("kermpany.wg"), int(sys.argv[2])
block.fill((n, [(ip_address(f"10.42.{n // 250}.{n % 250 + 1}"), f"peer{n}")]) for n in range(count))
try:
    update(Path(sys.argv[1]), "kermpany", block.lines())
except Failure as failure:
    sys.exit(f"{failure.code} {failure.message}")
"""


def mounted(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A script in a mount namespace of its own; `update FILE N` there writes a block of N names."""
    program = f'update() {{ "{sys.executable}" -c "$UPDATE" "$@"; }}\ncd "{folder}"\n{script}'
    command = ("unshare", "-m", "--propagation", "private", "sh", "-ec", program)
    return subprocess.run(
        command, env={**os.environ, "UPDATE": UPDATE}, capture_output=True, text=True, timeout=60, check=False
    )


FULL = """
mkdir small && mount -t tmpfs -o size=64k tmpfs small && cp foreign small/hosts
update small/hosts 3
cat foreign >> small/hosts
cp small/hosts before
dd if=/dev/zero of=small/filler bs=4k 2>filled || true
{and_then}
if update small/hosts 2000 2>said; then echo "was written" >&2; exit 1; fi
grep -q hosts_unwritable said || {{ cat said >&2; exit 1; }}
cmp before small/hosts
test "$(ls -A small | sort | tr '\\n' ' ')" = "filler hosts "
rm small/filler
update small/hosts {more}
test "$(grep -c example small/hosts)" = 600
test "$(grep -c kermpany.wg small/hosts)" = {more}
"""


@needs_root
@pytest.mark.parametrize(
    ("and_then", "more"), [("", 300), ("mount --bind small/hosts small/hosts", 300)], ids=["a file", "a mount"]
)
def test_a_full_disk_loses_nobodys_lines(tmp_path: Path, and_then: str, more: int) -> None:
    (tmp_path / "foreign").write_bytes(FOREIGN)
    done = mounted(tmp_path, FULL.format(and_then=and_then, more=more))
    assert done.returncode == 0, done.stderr


@needs_root
def test_a_file_that_is_a_mount_is_written_in_place(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(FOREIGN)
    done = mounted(
        tmp_path,
        """
        mkdir etc && cp foreign etc/hosts && cp foreign 'with blank'
        mount --bind 'with blank' etc/hosts
        mount --bind etc etc && mount -o remount,bind,ro etc && mount --bind 'with blank' etc/hosts
        update etc/hosts 50
        cmp etc/hosts 'with blank'
        update etc/hosts 2
        test "$(grep -c kermpany.wg 'with blank')" = 2 && test "$(grep -c example 'with blank')" = 300
        update etc/hosts 0
        cmp etc/hosts foreign
        """,
    )
    assert done.returncode == 0, done.stderr


@needs_root
def test_a_file_on_a_read_only_disk_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_bytes(FOREIGN)
    done = mounted(tmp_path, 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && update hosts 3')
    assert done.returncode == 1
    assert done.stderr.startswith("hosts_unwritable")
    assert "Read-only file system" in done.stderr


@needs_root
def test_attributes_and_acl_stay(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(FOREIGN)
    acl = bytes.fromhex("0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff")
    try:
        os.setxattr(hosts, "user.origin", b"cloud-init")
        os.setxattr(hosts, "system.posix_acl_access", acl)
        os.setxattr(hosts, "security.selinux", b"system_u:object_r:net_conf_t:s0\0")
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            pytest.skip("this file system has no such attributes")
        raise
    before = {name: os.getxattr(hosts, name) for name in os.listxattr(hosts)}
    assert len(before) == 3
    update(hosts, "kermpany", [b"10.42.0.1 ryo.kermpany.wg"])
    assert {name: os.getxattr(hosts, name) for name in os.listxattr(hosts)} == before


def test_writers_at_the_same_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(FOREIGN)
    names = [f"net{n}" for n in range(8)]

    def write(name: str) -> None:
        for n in range(1, 11):
            update(hosts, name, [b"10.%d.0.1 a.%s" % (n, name.encode())])

    writers = [threading.Thread(target=write, args=(name,)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    text = hosts.read_bytes()
    assert text.startswith(FOREIGN)
    assert all(f"10.10.0.1 a.{name}\n".encode() in text for name in names)


def test_a_change_that_raises_leaves_the_file(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(FOREIGN)

    def refuse(text: bytes) -> bytes:
        raise ValueError

    with pytest.raises(ValueError):
        rewrite(hosts, refuse)
    assert hosts.read_bytes() == FOREIGN


def test_what_can_not_be_written_is_a_failure_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(Failure) as refused:
        update(tmp_path / "hosts" / "nowhere", "kermpany", [b"10.42.0.1 ryo.kermpany.wg"])
    assert (refused.value.status, refused.value.code) == (SYSTEM, "hosts_unwritable")
    assert refused.value.hint
