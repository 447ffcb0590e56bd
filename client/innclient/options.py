"""The flags that every command takes, before the subcommand and after it, and how a command ends."""

import copy
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from click import exceptions as click_exceptions

from innclient import known
from innclient.failures import INTERNAL, INTERRUPTED, SYSTEM, USAGE, Failure, as_failure, report
from innerd.wireguard.backend import MAX_MTU, MIN_MTU, BackendName

T = TypeVar("T")


class Settings:
    """What the global flags say; one object a process."""

    def __init__(self, program: str, config_dir: str, data_dir: str, runtime_dir: str) -> None:
        self.program = program
        prefix = program.upper()
        self.config_dir = Path(os.environ.get(f"{prefix}_CONFIG_DIR") or config_dir)
        self.data_dir = Path(os.environ.get(f"{prefix}_DATA_DIR") or data_dir)
        self.runtime_dir = Path(os.environ.get(f"{prefix}_RUNTIME_DIR") or runtime_dir)
        self.backend: BackendName = "auto"
        self.mtu: int | None = None
        self.no_routing = False
        self.verbose = 0
        self.log_format = "text"
        self.as_json = False


def settings_of(context: click.Context) -> Settings:
    settings = context.find_object(Settings)
    assert settings is not None  # noqa: S101 - the group makes it
    return settings


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is None or value is False or value == 0:
            return
        settings = settings_of(context)
        setattr(settings, name, settings.verbose + value if name == "verbose" else value)

    return store


def _flag(*names: str, into: str, **kwargs: Any) -> click.Option:
    return click.Option([*names, f"_{into}"], callback=_store(into), expose_value=False, **kwargs)


WAIT = 30  # seconds that a change waits for the peers that it concerns, where nobody says how long
_FOLDER = click.Path(file_okay=False, path_type=Path)


def global_flags() -> list[click.Parameter]:
    """Fresh option objects: click ties an option to its command."""
    return [
        _flag("-c", "--config-dir", into="config_dir", type=_FOLDER, help="Folder of config files."),
        _flag("-d", "--data-dir", into="data_dir", type=_FOLDER, help="Folder of data."),
        _flag("--runtime-dir", into="runtime_dir", type=_FOLDER, help="Folder of sockets."),
        _flag(
            "--backend",
            into="backend",
            type=click.Choice(["auto", "kernel", "userspace"]),
            help="WireGuard of the kernel or wireguard-go (auto: the kernel's if it has it).",
        ),
        _flag(
            "--mtu",
            into="mtu",
            type=click.IntRange(MIN_MTU, MAX_MTU),
            metavar="N",
            help="MTU (default: what routes carry).",
        ),
        _flag("--no-routing", into="no_routing", is_flag=True, help="Add no route to the network."),
        _flag("-v", "--verbose", into="verbose", count=True, help="Say more; twice for everything."),
        _flag("--log-format", into="log_format", type=click.Choice(["text", "json"]), help="Form of log lines."),
    ]


COLUMNS = ["opt_short", "opt_long_metavar", "help"]  # of a table of flags: at 80 columns no flag is cut
_GLOBAL = {option.name for option in global_flags()}


class Command(click.RichCommand):
    """A subcommand: its own options, then the global ones (but for letters that it uses itself)."""

    def invoke(self, context: click.Context) -> Any:
        """Whoever stops reading has seen enough: that is no error, though click thinks so."""
        try:
            result = super().invoke(context)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(0)
        return result

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The verb's own flags, then the global ones; then examples, as they are typed."""
        from innclient import guide

        formatter.config.options_table_column_types = COLUMNS
        shared = [option.opts[-1] for option in self.params if option.name in _GLOBAL]
        formatter.config.option_groups = {
            "*": [{"name": "Flags", "options": self._own_flags(ctx)}, {"name": "Global flags", "options": shared}]
        }
        super().format_options(ctx, formatter)
        lines = list(guide.example_lines(ctx.find_root().info_name, str(self.name)))
        if lines:
            formatter.write("\n".join([" Examples", *lines, ""]))

    def _own_flags(self, context: click.Context) -> list[str]:
        parameters = [p for p in self.get_params(context) if isinstance(p, click.Option)]
        return [option.opts[-1] for option in parameters if option.name not in _GLOBAL]

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """`--wait` may stand without its value: click would take the next argument for it."""
        return super().parse_args(context, [f"--wait={WAIT}" if text == "--wait" else text for text in args])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taken = {name for parameter in self.params for name in parameter.opts}
        for parameter in self.params:
            known.offer(self.name, parameter)
        for option in global_flags():
            option.opts = [name for name in option.opts if name not in taken]
            if option.opts:
                self.params.append(option)


def alias(command: click.Command, name: str) -> click.Command:
    """The same command under a second name."""
    second = copy.copy(command)
    second.name = name
    second.short_help = f"The same as {command.name}"
    return second


def json_flag() -> Callable[[Any], Any]:
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_store("as_json"), help="One JSON document on stdout."
    )


def finish(program: str, group: click.Command, make: Callable[[], Settings]) -> None:
    """Run a command line and exit by the table of `failures`. Nothing that a user did ends in a traceback."""
    settings = make()
    settings.as_json = "--json" in sys.argv
    try:
        # Where click is not to exit by itself, it returns what a command gave to `context.exit`.
        status = group.main(prog_name=program, standalone_mode=False, obj=settings)
    except SystemExit:
        raise
    except click_exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(USAGE)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else program
        _fail(Failure(USAGE, "usage", error.format_message().rstrip("."), f"{where} --help"), settings)
    except click.ClickException as error:
        _fail(Failure(USAGE, "usage", error.format_message()), settings)
    except (KeyboardInterrupt, click.Abort, _cancelled()):
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except Exception as error:
        failure = as_failure(error)
        if failure is None:
            _bug(program, error, settings)
        _fail(failure or Failure(INTERNAL, "internal", str(error)), settings)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _cancelled() -> type[BaseException]:
    """Only asked when something was raised: asyncio takes its time to load."""
    import asyncio

    return asyncio.CancelledError


def _fail(failure: Failure, settings: Settings) -> None:
    report(failure, as_json=settings.as_json)
    if os.environ.get("NOTIFY_SOCKET"):  # `systemctl status` shows it, however little of the log
        from innclient.notify import notify

        notify(f"STATUS={failure.message} [{failure.code}]" + (f": {failure.hint}" if failure.hint else ""))
    sys.exit(failure.status)


def _bug(program: str, error: Exception, settings: Settings) -> None:
    """A bug of ours: the traceback goes to a file, the user gets a sentence."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix=f"{program}-", suffix=".log", delete=False) as file:
        traceback.print_exception(error, file=file)
    what = f"internal error: {type(error).__name__}: {error}"
    _fail(Failure(INTERNAL, "internal", what, f"this is a bug; the details are in {file.name}"), settings)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a fresh loop."""
    import asyncio

    return asyncio.run(main)


def configure_logs(settings: Settings, more: int = 0) -> None:
    """Logs as the flags say. Only for what logs: structlog takes its time to load."""
    from innclient import logs

    logs.configure("json" if settings.log_format == "json" else "text", settings.verbose + more)


def raise_file_limit() -> None:
    """As many open files as root may have: the soft limit is for programs that still use select(2)."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise Failure(SYSTEM, "not_root", f"{what} needs root", "run it as root, or with sudo")
