"""The flags that every command takes, before the subcommand and after it, and how a command ends."""

import copy
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from click import exceptions as click_exceptions

from innerd.command import networks, suggestions
from innerd.command.settings import Settings, settings_of
from innerd.command.stdio import make_whole
from innerd.domain.limits import MAX_MTU, MIN_MTU
from innerd.failure import INTERNAL, INTERRUPTED, SYSTEM, USAGE, Failure, as_failure, report

T = TypeVar("T")


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is None or value is False or value == 0:
            return
        settings = settings_of(context)
        setattr(settings, name, settings.verbose + value if name == "verbose" else value)

    return store


def _flag(*names: str, into: str, **kwargs: Any) -> click.Option:
    return click.Option([*names, f"_{into}"], callback=_store(into), expose_value=False, **kwargs)


EVERY = 2  # seconds from one look to the next, where nobody says how many
WAIT = 30  # seconds that a change waits for the peers that it concerns, where nobody says how long
_FOLDER = click.Path(file_okay=False, path_type=Path)


def global_flags() -> list[click.Parameter]:
    """Fresh option objects: click ties an option to its command."""
    return [
        _flag("-c", "--config-dir", into="config_dir", type=_FOLDER, is_eager=True, help="Folder of config files."),
        _flag("-d", "--data-dir", into="data_dir", type=_FOLDER, is_eager=True, help="Folder of data."),
        _flag("--runtime-dir", into="runtime_dir", type=_FOLDER, is_eager=True, help="Folder of sockets."),
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


_GLOBAL = {option.name for option in global_flags()}


def _read(command: click.Command, context: click.Context, args: list[str]) -> tuple[dict[str, Any], list[Any]]:
    """What stands where on a command line, as text, and the parameters in the order in which they were given."""
    try:
        values, _, order = command.make_parser(context).parse_args(list(args))
    except click.UsageError as error:
        error.ctx = error.ctx or context  # click forgets here whose flag it was
        raise
    return {name: value for name, value in values.items() if isinstance(value, str) or _is_several(value)}, order


def _is_several(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value)


def once_each(command: click.Command, context: click.Context, args: list[str]) -> None:
    """Refuse an option that takes one value and was given two: the first would be lost in silence."""
    given = [one for one in _read(command, context, args)[1] if isinstance(one, click.Option)]
    for option in given:
        single = not (option.multiple or option.count or option.is_flag)
        if single and given.count(option) > 1:
            flag = max(option.opts, key=len)
            raise click.UsageError(f"{flag} is given {given.count(option)} times, and takes one value", context)


_VALUES = {"--wait": WAIT, "--watch": EVERY}  # where nobody gives one


def _waits(args: list[str]) -> Iterator[str]:
    """`--wait` and `--watch` may stand without a value, or have one behind: click takes any next argument."""
    rest = iter([*args, ""])
    for text in rest:
        if text not in _VALUES:
            if text:
                yield text
            continue
        following = next(rest)
        yield f"{text}={following if following.isdecimal() else _VALUES[text]}"
        if following and not following.isdecimal():
            yield following


_NAMED = ("uninstall", "import-innernet")  # what goes for good, and what is not here yet, is said by name


def _network_put_in(command: click.Command, context: click.Context, args: list[str]) -> list[str]:
    """Where a host has one network, a verb need not be told which: if its name is not the first word, and there is
    room for one more, it is put in."""
    words = [one for one in command.params if isinstance(one, click.Argument)]
    if not words or not words[0].required or words[0].name not in ("network", "interface"):
        return args
    if command.name in _NAMED:
        return args
    values = _read(command, context, args)[0]
    folder = Path(values.get("_config_dir") or settings_of(context).config_dir)
    runtime = Path(values.get("_runtime_dir") or settings_of(context).runtime_dir)
    found = networks.installed(folder, runtime)
    has_room = any(one.nargs != 1 or one.name not in values for one in words)
    first = str(values.get(words[0].name or "", ""))
    if len(found) != 1 or not has_room or networks.interface_of(found, first):
        return args
    is_a_network = bool(first) and not _takes(words[1], first, context)  # one that there is not: that is said
    return args if is_a_network else [*found, *args]


def _takes(argument: click.Argument, word: str, context: click.Context) -> bool:
    try:
        argument.type.convert(word, argument, context)
    except click.BadParameter:
        return False
    return True


def _all_there(command: click.Command, context: click.Context, args: list[str]) -> None:
    """Everything that is missing is named at once: click would name the first."""
    values, order = _read(command, context, args)
    if command.get_help_option(context) in order:
        return
    missing = [
        one.make_metavar(context) if isinstance(one, click.Argument) else max(one.opts, key=len)
        for one in command.params
        if one.required and one.name not in values
    ]
    if len(missing) == 1:
        raise click.UsageError(f"{missing[0]} is missing", context)
    if missing:
        raise click.UsageError(f"{', '.join(missing[:-1])} and {missing[-1]} are missing", context)


class Command(click.Command):
    """A subcommand: its own options, then the global ones (but for letters that it uses itself)."""

    def invoke(self, context: click.Context) -> Any:
        """Whoever stops reading has seen enough: that is no error, though click thinks so. Whoever interrupts is told
        what that means. Raises Failure."""
        try:
            result = super().invoke(context)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(0)
        except (KeyboardInterrupt, click.Abort, _cancelled()):
            from innerd.command import guide, interrupted

            raise interrupted.failure(guide.ALIASES.get(str(self.name), str(self.name))) from None
        return result

    def get_help(self, ctx: click.Context) -> str:
        """The verb's own flags, then the global ones; then examples, as they are typed."""
        from innerd.command import guide, page

        drawn = page.begun(self, ctx)
        flags = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        own, shared = ([one for one in flags if (one.name in _GLOBAL) is is_shared] for is_shared in (False, True))
        for title, options in (("Flags", own), ("Global flags", shared)):
            drawn.flags(title, list(page.rows_of(options, ctx)))
        lines = list(guide.example_lines(str(ctx.find_root().info_name), str(self.name)))
        drawn.plain([" Examples", *lines] if lines else [])
        return drawn.text()

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As people type: `--wait` with a value or without, the network left out where there is one."""
        if not context.resilient_parsing:  # completions look at what is half typed
            args = _network_put_in(self, context, list(_waits(args)))
            once_each(self, context, args)
            _all_there(self, context, args)
        return super().parse_args(context, args)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taken = {name for parameter in self.params for name in parameter.opts}
        for parameter in self.params:
            suggestions.offer(self.name, parameter)
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
    make_whole()
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
        _fail(Failure(USAGE, "usage", _said(error), f"{where} --help"), settings)
    except click.ClickException as error:
        _fail(Failure(USAGE, "usage", _said(error)), settings)
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


def _said(error: click.ClickException) -> str:
    """click's words, on one line, and as people say them."""
    text = " ".join(error.format_message().split()).rstrip(".")
    return text.replace("is not a valid integer range", "is no whole number")


def _cancelled() -> type[BaseException]:
    """What was cancelled raises this, if asyncio, which takes its time to load, was loaded at all."""
    found = sys.modules.get("asyncio")
    return KeyboardInterrupt if found is None else found.CancelledError


def _fail(failure: Failure, settings: Settings) -> None:
    report(failure, as_json=settings.as_json)
    if os.environ.get("NOTIFY_SOCKET"):  # `systemctl status` shows it, however little of the log
        from innerd.host.systemd import notify

        notify(f"STATUS={failure.message} [{failure.code}]" + (f": {failure.hint}" if failure.hint else ""))
    sys.exit(failure.status)


def _bug(program: str, error: Exception, settings: Settings) -> None:
    """A bug of ours: the traceback goes to a file, the user gets a sentence."""
    import tempfile
    import traceback

    what, where = f"internal error: {type(error).__name__}: {error}", "what stands above"
    said = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
    try:
        with tempfile.NamedTemporaryFile(prefix=f"{program}-", suffix=".log", delete=False) as file:
            where = file.name
            file.write(said)
    except OSError:  # a full disk, say
        sys.stderr.write(said.decode())
    _fail(Failure(INTERNAL, "internal", what, f"this is a bug; the details are in {where}"), settings)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a fresh loop."""
    import asyncio

    return asyncio.run(main)


def configure_logs(settings: Settings, more: int = 0) -> None:
    """Logs as the flags say. Only for what logs: structlog takes its time to load."""
    from innerd.host import logs

    logs.configure("json" if settings.log_format == "json" else "text", settings.verbose + more)


def raise_file_limit() -> None:
    """As many open files as root may have: the soft limit is for programs that still use select(2)."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise Failure(SYSTEM, "not_root", f"{what} needs root", "run it as root, or with sudo")
