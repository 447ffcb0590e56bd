"""Joining a network: swap the invitation's temporary key for our own, so that a kill at any point loses nothing.

 1. The new private key is on disk, synced, before anybody hears of its public half.
 2. Redeem through the temporary key. The coordinator takes the same key again, so a lost answer is no loss.
 3. Whoever redeemed and was killed finds the temporary key dead: then, in a second run, the new key is tried.
 4. With the new key: wait for its handshake (no sleep), ask for the state, put the config in its place, which was
    written before step 2; forget step 1's file.

Run again, `inn install` goes on where it was.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx2
import msgspec
from msgspec import Struct

from innclient import config, coordinated
from innclient.agent import stream
from innclient.agent.by_tcp import Way
from innclient.agent.tunnel import Making, Tunnel
from innclient.config import AgentSection
from innclient.paths import Paths
from innerd.admin.client import problem_of, unheard
from innerd.admin.invitation import Invitation, Parsed
from innerd.command import consent
from innerd.domain.claims import USUAL_SUFFIX, parse_suffix
from innerd.domain.values import Endpoint, endpoint_address
from innerd.failure import INVITATION, REFUSED, SYSTEM, Failure, status_of_code, unreachable
from innerd.host import files, overlap, toml
from innerd.host.domains import resolved
from innerd.host.firewall import to_serve
from innerd.host.overlap import Neighbour
from innerd.host.reachability import Sign, probe
from innerd.wireguard import keys
from innerd.wireguard.device import DeviceError

_ATTEMPT = 1.0  # seconds for a handshake: WireGuard alone would ask again after 5, a new entry asks at once
_ATTEMPTS, _MORE_ATTEMPTS = 3, 6  # with a key that may be nobody's, and with one that was just made somebody's
_SETTLING = 5.0  # seconds until the coordinator has moved the address to the new key
_LOOK_UP = 10.0  # seconds for the coordinator's name: a resolver's first server may be silent
_ANSWER = 3.0
_TRIES = 3
_STEP = 0.25


class Joining(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True):
    """An installation under way: our new key, and the invitation that it is for."""

    private_key: str
    server_key: str
    address: str


def check_free(paths: Paths) -> None:
    """Refuse a name that is installed already. Raises Failure."""
    if paths.config.exists() and not paths.joining.exists():
        raise Failure(
            REFUSED,
            "already_installed",
            f'there is a network "{paths.interface}" here already ({paths.config})',
            f"if it is the one that you mean, it is joined: inn up -d {paths.interface}; else install under another "
            "name (--name), or uninstall that one",
        )
    if coordinated.here(paths.interface):
        what = f"{coordinated.sentence([paths.interface])}: it is in that network already"
        raise Failure(REFUSED, "already_installed", what, "innerd is its command here; install on another machine")


def agree(
    paths: Paths,
    invitation: Invitation,
    values: Parsed,
    others: Sequence[Neighbour],
    *,
    public_range: bool,
    accept_overlap: bool,
    suffix: str | None,
) -> None:
    """Have leave for all that the network takes of this host, before anything is done. `suffix` goes before the
    invitation's. Raises Failure, Refused, DeviceError."""
    block, coordinator = values.address.network, endpoint_address(values.external)
    consent.to_range(block, given=public_range)
    domain = f"{values.network}.{suffix or values.suffix or USUAL_SUFFIX}"
    said = overlap.overlaps_of(block, overlap.of_host(paths.interface))
    said += overlap.of_neighbours(others, block, values.listen_port, domain)
    if coordinator is not None and coordinator in block:
        said.append(f"the coordinator itself, {coordinator}, is looked for in its own tunnel")
    consent.to_overlaps(block, said, given=accept_overlap)
    if suffix is not None:
        invitation.interface.suffix = parse_suffix(suffix)
    elif values.suffix is not None:
        consent.to_suffix(values.suffix)


def begin(paths: Paths, values: Parsed) -> str:
    """The new private key: the one of an interrupted try, else a fresh one, on disk either way. Raises Failure."""
    wanted = (values.server_key, str(values.address))
    try:
        before = toml.read(paths.joining, Joining)
    except FileNotFoundError:
        before = None
    if before is not None:
        if (before.server_key, before.address) == wanted:
            return before.private_key
        raise Failure(
            REFUSED,
            "installation_pending",
            f'another installation of "{paths.interface}" was begun and not ended ({paths.joining})',
            "end it with its own invitation, or remove it: inn uninstall " + paths.interface,
        )
    check_free(paths)
    private_key = keys.generate()
    files.make_private(paths.data)
    joining = Joining(private_key=private_key, server_key=wanted[0], address=wanted[1])
    files.create(paths.joining, toml.write(joining))
    return private_key


async def join(
    paths: Paths,
    invitation: Invitation,
    values: Parsed,
    tunnel: Tunnel,
    making: Making,
    agent: AgentSection,
    say: Callable[[str], None],
) -> bool:
    """Become the peer of an invitation; afterwards there is a config and the interface is up. Whether that went by UDP.
    Raises Failure.

    Where nothing can come of it the interface is taken down again; where it may still (the coordinator is away),
    the key stays for the next try.
    """
    was_begun = paths.joining.exists()
    new_key = begin(paths, values)
    if not was_begun and await asyncio.to_thread(tunnel.is_up):
        await asyncio.to_thread(_abandon, paths)
        raise Failure(
            SYSTEM,
            "interface_taken",
            f"there is an interface {paths.interface} already",
            "install under another name (--name)",
        )
    may_be_spent = False
    try:
        # What must be written is, before the invitation is spent on a disk that is full or read-only.
        document = config.document(invitation.interface, invitation.server, new_key, agent)
        with config.prepared(paths, document) as put:
            may_be_spent = True
            is_by_udp = await _redeem(values, tunnel, new_key, making, say, again=was_begun)
            put()
    except BaseException as error:
        await asyncio.to_thread(tunnel.down, (new_key, values.private_key))
        if not was_begun and (not may_be_spent or _was_in_vain(error)):
            await asyncio.to_thread(_abandon, paths)
        raise
    files.remove(paths.joining)
    return is_by_udp


def _was_in_vain(error: BaseException) -> bool:
    """Whether the new key can't have become anybody's: it was refused, or never sent."""
    if isinstance(error, Failure):
        return error.status == INVITATION or error.code in ("tunnel_unreachable", "name_unresolved")
    return isinstance(error, DeviceError)


def _abandon(paths: Paths) -> None:
    files.remove(paths.joining)
    with contextlib.suppress(OSError):  # not empty: an earlier membership's
        paths.data.rmdir()


def _take_up(tunnel: Tunnel, bring_up: Callable[[], object]) -> None:
    """An installation was killed: its interface may be there, or come to be just now, as its daemon lives on."""
    tunnel.finish()
    try:
        bring_up()
    except DeviceError:
        tunnel.finish()
        bring_up()


async def _redeem(
    values: Parsed,
    tunnel: Tunnel,
    new_key: str,
    making: Making,
    say: Callable[[str], None],
    *,
    again: bool,
) -> bool:
    """Whether by UDP."""
    endpoints = await asyncio.to_thread(resolved, values.external, _LOOK_UP, values.address.network)
    if not endpoints:
        raise unreachable(
            f"the coordinator's name can't be resolved to an address where it could be: {values.external}",
            "check this host's DNS",
            "name_unresolved",
        )

    bring_up = partial(tunnel.bring_up, values, making, endpoint=endpoints[0])
    await asyncio.to_thread(_take_up, tunnel, bring_up) if again else await asyncio.to_thread(bring_up)
    with contextlib.closing(_Meeting(values, tunnel, endpoints, say)) as meeting:
        if await meeting.meet(values.private_key):
            say("redeeming the invitation")
            lost = await _post_redeem(values, tunnel.link, new_key)
            if await meeting.meet(new_key, _MORE_ATTEMPTS) and await _is_in(values, tunnel.link):
                return meeting.is_by_udp
            if lost is not None:
                raise lost
            raise unreachable("the invitation was redeemed, but the new key gets no answer yet", "run it again")
        # The temporary key is dead: it expired, was void, or we redeemed it before and the answer was lost.
        if again and await meeting.meet(new_key) and await _is_in(values, tunnel.link):
            return meeting.is_by_udp
    raise _dead(values, await asyncio.to_thread(probe, endpoints[0]))


class _Meeting:
    """The coordinator, met with one key after the other: by UDP, and where that is blocked by TCP, if the invitation
    has a port for it."""

    def __init__(
        self, values: Parsed, tunnel: Tunnel, endpoints: Sequence[Endpoint], say: Callable[[str], None]
    ) -> None:
        self._values, self._tunnel, self._endpoints, self._say = values, tunnel, endpoints, say
        self._way: Way | None = None

    @property
    def is_by_udp(self) -> bool:
        return self._way is None

    def close(self) -> None:
        if self._way is not None:
            self._way.close()
            self._way = None

    async def meet(self, key: str, attempts: int = _ATTEMPTS) -> bool:
        """Whether it answers to a key."""
        if self._way is None and await asyncio.to_thread(self._by_udp, key, attempts):
            return True
        return self._values.tcp is not None and await self._by_tcp(key, self._values.tcp)

    def _by_udp(self, key: str, attempts: int) -> bool:
        ways = zip(range(max(attempts, len(self._endpoints))), itertools.cycle(self._endpoints), strict=False)
        return any(self._has_met(key, endpoint) for _, endpoint in ways)

    def _has_met(self, key: str, endpoint: Endpoint) -> bool:
        values = self._values
        self._tunnel.meet(key, values.server_key, values.internal_address, endpoint)
        return self._tunnel.has_met(values.server_key, _ATTEMPT)

    async def _by_tcp(self, key: str, port: int) -> bool:
        was_there = self._way is not None
        self.close()
        device = await asyncio.to_thread(self._tunnel.get)
        try:
            self._way = Way(key, self._values.server_key, device.listen_port)
            remote = await self._way.connect(self._endpoints, port)
        except OSError:
            self.close()
            return False
        if not was_there:
            self._say(f"UDP is blocked: by TCP, at {remote}")
        return await asyncio.to_thread(self._has_met, key, self._way.endpoint)


def _dead(values: Parsed, presence: Sign) -> Failure:
    """Why no handshake is answered, as far as it can be known from here."""
    what = f"{values.external} (UDP) answers no handshake"
    if presence is Sign.REFUSED:
        return unreachable(
            f"the tunnel to the coordinator is dead: {what}: its host is up, but nothing listens there",
            "check that innerd serve runs there",
            "tunnel_unreachable",
        )
    if presence is Sign.ALIVE:
        return Failure(
            INVITATION,
            "invitation_unknown",
            f"the coordinator's host is up, but {what} with this invitation: it was used, has expired or was replaced",
            "ask for a new one (an administrator: reissue-invite); or a firewall on the way drops UDP",
        )
    return unreachable(
        f"the tunnel to the coordinator is dead: {what}",
        "check that the coordinator is up and its UDP port reachable from here; if it is, the invitation "
        "was used, has expired or was replaced: ask for a new one",
        "tunnel_unreachable",
    )


async def _post_redeem(values: Parsed, link: str, new_key: str) -> Failure | None:
    """Redeem; a Failure is given back where nobody knows what came of it, and raised where the answer was no."""
    body = msgspec.json.encode({"public_key": keys.public_key(new_key)})
    lost: Failure | None = None
    async with stream.client(values, link) as client:
        for _ in range(_TRIES):
            try:
                response = await client.post(
                    "/v1/user/redeem", content=body, timeout=httpx2.Timeout(_ANSWER, connect=_ANSWER / _TRIES)
                )
            except httpx2.TransportError as error:
                lost = unreachable(
                    f"the tunnel is up, but the coordinator's API at {values.internal_address} does not answer "
                    f"({unheard(error)})",
                    f"{to_serve(values.network, values.internal_port)}; then run this again",
                    "api_unreachable",
                )
                continue
            if response.status_code == 204:
                return None
            raise _refusal(response)
    return lost


def _refusal(response: httpx2.Response) -> Failure:
    problem = problem_of(response)
    if problem.code in ("", "unauthorized", "peer_disabled"):
        hint = "ask an administrator whether the peer is enabled, and for a new invitation"
        return Failure(INVITATION, "invitation_refused", f"the invitation is refused: {problem.title}", hint)
    return Failure(status_of_code(problem.code), problem.code, problem.title, problem.hint)


async def _is_in(values: Parsed, link: str) -> bool:
    """Whether we are the peer now: our own state is answered, through our own key."""
    deadline = time.monotonic() + _SETTLING
    async with stream.client(values, link) as client:
        while time.monotonic() < deadline:
            try:
                response = await client.get("/v1/user/state", timeout=httpx2.Timeout(_STEP * 4, connect=_STEP))
            except httpx2.TransportError:
                continue  # the connect timed out: that was the pause
            if response.status_code == 200:
                return True
            await asyncio.sleep(0.02)  # the coordinator moves the address at the new key's first handshake
    return False
