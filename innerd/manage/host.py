"""The verbs of `innerd` about this host: new, serve, doctor, uninstall."""

import contextlib
import sys
from pathlib import Path

import click

from innerd import __version__
from innerd.admin import inspect
from innerd.admin.ways import CONNECT
from innerd.command import output, prompt
from innerd.command.options import Command, alias, configure_logs, json_flag, raise_file_limit, require_root
from innerd.command.settings import settings_of
from innerd.config import load, paths_of
from innerd.domain.claims import check_range, exact_range
from innerd.domain.errors import Refused
from innerd.domain.values import Endpoint, Range, endpoint_of, first_address, parse_endpoint, parse_interface
from innerd.failure import Failure, usage
from innerd.manage import verbs as files_verbs


def _network_name(text: str) -> str:
    return parse_interface(text)


def _network_range(text: str) -> Range:
    block = exact_range(text)
    check_range(block, public=True)
    if block.num_addresses < 4:
        raise Refused("invalid_range", f"{block} is too small for a network", "take a /30 (IPv6 /126) or wider")
    return block


@click.command("new", cls=Command)
@click.option("--network-name", help="Name of the network and of its interface.")
@click.option("--network-cidr", help="Its range, such as 10.42.0.0/16.")
@click.option("--external-endpoint", help="Where peers reach this host: host:port.")
@click.option("--auto-external-endpoint", is_flag=True, help="Find the public address out (asks 9.9.9.9).")
@click.option("--listen-port", type=click.IntRange(1, 65535), help="UDP port of WireGuard here.")
@click.option("--public-range", is_flag=True, help="Take a range that is not private.")
@click.option("--accept-overlap", is_flag=True, help="Take a range or port that this host uses already.")
@click.option("--no-relay", is_flag=True, help="Do not relay for peers that have no other way to each other.")
@json_flag()
@click.pass_context
def new(
    context: click.Context,
    network_name: str | None,
    network_cidr: str | None,
    external_endpoint: str | None,
    auto_external_endpoint: bool,
    listen_port: int | None,
    public_range: bool,
    accept_overlap: bool,
    no_relay: bool,
) -> None:
    """Make a new network."""
    from innerd.manage.create import agree, found

    settings = settings_of(context)
    if external_endpoint is not None and auto_external_endpoint:
        raise usage("--external-endpoint and --auto-external-endpoint exclude each other")
    require_root("innerd new")
    configure_logs(settings)
    where = "auto" if auto_external_endpoint else external_endpoint
    given = {"--network-name": network_name, "--network-cidr": network_cidr, "--listen-port": listen_port}
    prompt.need(given | {"--external-endpoint or --auto-external-endpoint": where})
    name = network_name or prompt.text("Network name", "--network-name", check=_network_name)
    paths = paths_of(settings, name)
    block = _network_range(
        network_cidr or prompt.text("Network CIDR", "--network-cidr", "10.42.0.0/16", check=_network_range)
    )
    port = listen_port or int(prompt.text("Listen port", "--listen-port", "51820", check=prompt.port))
    endpoint = _endpoint(external_endpoint, auto_external_endpoint, port)
    agree(paths, block, endpoint, port, public_range=public_range, accept_overlap=accept_overlap)
    found(paths, block, endpoint, port, files_verbs.user(), relays=not no_relay)
    if settings.as_json:
        made = {"name": name, "cidr": str(block), "endpoint": endpoint, "address": str(first_address(block))}
        output.document({"network": made, "config": str(paths.config), "database": str(paths.database)})
        return
    output.line(f'Network "{name}" ({block}) made. The coordinator is {first_address(block)}, reached at {endpoint}.')
    output.line(f"  config    {paths.config}")
    output.line(f"  database  {paths.database}")
    if not no_relay:
        output.line(f"It relays what peers have no other way for, unread (innerd disallow-relay {name} ends that).")
    output.line(f"Next: innerd add-cidr {name}, innerd add-peer {name}, innerd serve {name}")


def _endpoint(given: str | None, auto: bool, port: int) -> Endpoint:
    """Where peers reach the coordinator. Without a port, the listen port is meant."""
    if auto or (
        given is None
        and prompt.is_interactive()
        and prompt.yes_no("Find the public address out?", "--auto-external-endpoint")
    ):
        from innerd.host.publicip import public_address

        try:
            return endpoint_of(str(public_address()), port)
        except Failure as failure:
            if auto or not prompt.is_interactive():
                raise
            output.line(f"{failure.message}: say it yourself", out=sys.stderr)  # the other answers are kept
    text = given or prompt.text(
        "External endpoint", "--external-endpoint or --auto-external-endpoint", check=parse_endpoint
    )
    return parse_endpoint(text)


@click.command("serve", cls=Command)
@click.argument("network")
@click.option("--hosts-path", type=click.Path(path_type=Path), help="The hosts file (default /etc/hosts).")
@click.option("--no-write-hosts", is_flag=True, help="Leave the hosts file alone.")
@click.option("--host-suffix", help="Suffix of names in the hosts file (default <network>.wg).")
@click.option("--no-dns", is_flag=True, help="Answer no DNS queries.")
@click.option("--log-queries", is_flag=True, help="Log each DNS query.")
@click.pass_context
def serve(
    context: click.Context,
    network: str,
    hosts_path: Path | None,
    no_write_hosts: bool,
    host_suffix: str | None,
    no_dns: bool,
    log_queries: bool,
) -> None:
    """Serve a network until SIGTERM or SIGINT. The tunnel stays up after that."""
    import uvloop

    from innerd.serve import coordinator
    from innerd.serve.device import Options

    settings = settings_of(context)
    if hosts_path is not None and no_write_hosts:
        raise usage("--hosts-path and --no-write-hosts exclude each other")
    require_root("innerd serve")
    paths = paths_of(settings, network)
    config = load(paths)
    config.dns.enabled = config.dns.enabled and not no_dns
    configure_logs(settings, more=1)
    raise_file_limit()
    options = Options(
        backend=settings.backend,
        mtu=settings.mtu,
        routing=not settings.no_routing,
        write_hosts=not no_write_hosts,
        hosts_path=hosts_path,
        host_suffix=host_suffix,
        log_queries=log_queries,
    )

    def ready(addresses: list[str]) -> None:
        output.line(f'innerd {__version__} serves "{network}"')
        for address in addresses:
            output.line(f"  {address}")
        sys.stdout.flush()

    uvloop.run(coordinator.serve(paths, config, options, ready))


@click.command("uninstall", cls=Command)
@click.argument("network")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.pass_context
def uninstall(context: click.Context, network: str, yes: bool) -> None:
    """Remove a network from this host for good: interface, log, key, names."""
    from innerd.manage import create
    from innerd.wireguard.backend import choose

    settings = settings_of(context)
    require_root("innerd uninstall")
    paths = paths_of(settings, network)
    hosts = Path("/etc/hosts")
    with contextlib.suppress(Failure):  # a broken config must not keep a network from being removed
        hosts = Path(load(paths).names.hosts_path)
    if paths.config.exists() or paths.database.exists():
        prompt.confirm(f'Remove network "{network}" with its log and its key, for good?', yes=yes)
    left = create.uninstall(paths, choose(settings.backend, network), hosts)
    if left is not None:
        output.line(left, out=sys.stderr)
    output.line(f'Network "{network}" is removed from this host.')


@click.command("doctor", cls=Command)
@click.argument("network")
@json_flag()
@click.pass_context
def doctor(context: click.Context, network: str) -> None:
    """Is everything as it should be on this host? If not: what is wrong, and what helps."""
    from innerd.command.findings import report
    from innerd.manage import doctor as coordinating

    settings = settings_of(context)
    require_root("innerd doctor")
    status = inspect.status_or_failure(context.meta[CONNECT], settings, network)
    found = coordinating.diagnose(settings, paths_of(settings, network), status)
    report(context, settings, list(found))


VERBS = [new, alias(new, "init"), serve, doctor, uninstall]
