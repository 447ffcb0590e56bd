"""Requests that a page in a browser makes: to be told from those of programs, where no page has any business. Pure."""

from collections.abc import Iterable
from ipaddress import ip_address

from innerd.domain.values import Endpoint, split_endpoint


def why_refused(fields: Iterable[tuple[str, str]], where: str) -> str | None:
    """Why a request with these header fields is not answered on a socket that listens at `where` (address and port);
    None where it is. Browsers say which page asks, and a page can give a name of its own to any address (a rebind) but
    not call it by another's: so Host must be the address, or localhost where that is what it is."""
    hosts = []
    for name, value in fields:
        if name.lower() in ("origin", "referer"):
            return "requests from web pages are refused"
        if name.lower() == "host":
            hosts.append(value.strip().lower())
    if len(hosts) != 1 or not _is_called(hosts[0], where):
        return "the Host header names another server"
    return None


def _is_called(host: str, where: str) -> bool:
    """Whether a Host is a name of the socket. One that listens on all addresses has all of them as names."""
    name, port = split_endpoint(Endpoint(where))
    own = ip_address(name)
    called, _, of_port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, ":", "80")
    if of_port != str(port):
        return False
    if called == "localhost":
        return own.is_loopback or own.is_unspecified
    try:
        address = ip_address(called.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return own.is_unspecified or address == own
