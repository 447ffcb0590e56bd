"""Plain peers: devices with WireGuard and without `inn`. What each needs is one file, and its picture, made here on the
administrator's machine; its private key is shown once, and kept or sent nowhere.

The file is wg-quick's (wg-quick(8)), which WireGuard's own apps read too. Everybody in it has the coordinator's
endpoint: what is not for the coordinator it relays.
"""

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from innerd.admin.saved import Saved
from innerd.admin.verb import Call, verb
from innerd.command import output
from innerd.domain.values import KEEPALIVE
from innerd.failure import SYSTEM, Failure, usage
from innerd.host import files
from innerd.wire.reach import PlainConfig

if TYPE_CHECKING:
    from segno import QRCode

    from innerd.admin.transport import Response

MOST = 2953  # bytes that a QR code holds (ISO/IEC 18004, version 40 with level L)
_PICTURES = (".png", ".svg")
_NO_KEY = "# PrivateKey = the one that the device has: nobody else knows it"

QR = (
    click.option("--qr", is_flag=True, help="Show the file as a QR code, too (on a terminal it is shown anyway)."),
    click.option("--save-qr", metavar="FILE", help="Write the QR code to a file, .png or .svg."),
    click.option("--dns", multiple=True, metavar="ADDRESS", help="Another resolver for the device. Repeatable."),
)


class Shown(Struct, frozen=True):
    """Where the file of a plain peer goes, and its QR code; `resolvers` beside the coordinator."""

    file: str | None
    qr: bool
    picture: str | None
    resolvers: tuple[str, ...]

    def check(self) -> None:
        """Refuse a picture of no known kind, or one that is there, before anything is changed."""
        if self.picture is None:
            return
        if Path(self.picture).suffix not in _PICTURES:
            raise usage(f"{self.picture}: a QR code is written as .png or .svg", "name the file so")
        if Path(self.picture).exists():
            raise _exists(self.picture)


def as_text(config: PlainConfig, private_key: str | None, resolvers: tuple[str, ...] = ()) -> str:
    """The file. Only the coordinator is sent keepalives: they keep the port open by which all others come too."""
    bits = 128 if ":" in config.ip else 32
    lines = [
        "[Interface]",
        f"# {config.name} in {config.network}, revision {config.revision}",
        _NO_KEY if private_key is None else f"PrivateKey = {private_key}",
        f"Address = {config.ip}/{bits}",
        f"DNS = {', '.join((config.dns, *resolvers, config.domain))}",
    ]
    for number, peer in enumerate(config.peers):
        lines += ["", "[Peer]", f"# {peer.name}", f"PublicKey = {peer.public_key}", f"AllowedIPs = {peer.ip}/{bits}"]
        lines.append(f"Endpoint = {config.endpoint}")
        lines += [f"PersistentKeepalive = {KEEPALIVE}"] if number == 0 else []
    return "\n".join(lines) + "\n"


def picture_of(text: str) -> "QRCode | None":
    """The QR code of a file; None where that is too large for one."""
    import segno

    with suppress(segno.DataOverflowError):
        return segno.make_qr(text, error="l", boost_error=False)
    return None


def save_picture(picture: "QRCode", path: Path) -> None:
    """Write a QR code into a private file. Raises Failure."""
    drawn = io.BytesIO()
    picture.save(drawn, kind=path.suffix[1:], scale=4)
    try:
        files.create(path, drawn.getvalue())
    except FileExistsError:
        raise _exists(str(path)) from None
    except OSError as error:
        raise Failure(SYSTEM, "os_error", f"{path} can't be written: {error.strerror}") from None


def _exists(path: str) -> Failure:
    return usage(f"{path} exists already", "choose another file for the QR code", "file_exists")


def too_large(text: str, config: PlainConfig) -> str:
    """Why there is no QR code, and how much of the file one would hold."""
    fit = sum(len("[Peer]".join(text.split("[Peer]")[: n + 2]).encode()) <= MOST for n in range(len(config.peers)))
    return (
        f"no QR code: the file has {len(text.encode())} bytes, and {MOST} are the most that one holds "
        f"({fit} of its {len(config.peers)} peers); take the file"
    )


def show(call: Call, config: PlainConfig, text: str, where: Shown) -> list[str]:
    """Put the file and its pictures where they were asked for; what is to be said of them."""
    said = []
    if where.file is not None and where.file != "-":
        said.append(f"Its file is {where.file}: it goes into WireGuard's app, or to /etc/wireguard as wg-quick's.")
    elif not call.as_json:
        sys.stdout.write(text)
    is_shown = (where.qr or sys.stdout.isatty()) and not call.as_json
    if is_shown or where.picture is not None:
        picture = picture_of(text)
        if picture is None:
            output.line(too_large(text, config), out=sys.stderr)
        if picture is not None and where.picture is not None:
            save_picture(picture, Path(where.picture))
            said.append(f"Its QR code is {where.picture}.")
        if picture is not None and is_shown:
            picture.terminal(sys.stdout, compact=True)
    if not config.is_relay:
        said.append("THE NETWORK HAS NO RELAY: the device reaches the coordinator alone, until: innerd allow-relay.")
    return said


def tell(call: Call, reply: "Response", kept: Saved, content: dict[str, Any], *sentences: str) -> None:
    """What was done; beside a file that is shown on stdout, on stderr."""
    if call.as_json or not kept.is_stdout:
        call.tell(content, *sentences)
        return
    call.changed(reply)
    for sentence in sentences:
        output.line(sentence, out=sys.stderr)


async def config_of(call: Call, number: int) -> PlainConfig:
    return (await call.api.get(f"/v1/admin/peers/{number}/config")).read(PlainConfig)


@verb(
    "export",
    click.argument("peer"),
    click.option("--format", "kind", type=click.Choice(["wg-quick"]), default="wg-quick", help="As what."),
    click.option("--save-config", help="Where to write the file (- for stdout)."),
    *QR,
    changes=True,
)
async def export(
    call: Call, peer: str, kind: str, save_config: str | None, qr: bool, save_qr: str | None, dns: tuple[str, ...]
) -> None:
    """The file of a plain peer again, as the network is now: without its key, which the device alone has."""
    where = Shown(save_config, qr, save_qr, dns)
    where.check()
    found = await call.peer(peer)
    path = f"/v1/admin/peers/{found.id}/config"
    if call.dry_run:
        await call.change("POST", path)
        return
    with Saved(save_config or "-", is_shown=False) as kept:
        reply = await call.change("POST", path)
        assert reply is not None  # noqa: S101 - not a dry run
        config = await config_of(call, found.id)
        text = as_text(config, None, dns)
        kept.write(text.encode())
    said = show(call, config, text, where)
    shown = {"id": found.id, "name": found.name, "ip": found.ip, "cidr": found.cidr, "is_admin": found.is_admin}
    shown |= {"is_disabled": found.is_disabled, "is_redeemed": found.is_redeemed}
    content = {"peer": shown, "config": text, "settings": msgspec.to_builtins(config), "revision": reply.revision}
    tell(call, reply, kept, content, *said)


VERBS = [export]
