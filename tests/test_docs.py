"""The reference pages name what is in the code: every verb, flag, status, code, key, route, frame and metric; and no
link leads nowhere. What a page says of a thing is for people to judge; that it is there is checked here."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

import innclient.cli
import innclient.config
import innerd.cli
import innerd.config
from inndns.server import Counters
from innerd import failure
from innerd.api.gate import OPEN
from innerd.api.metrics import Metrics
from innerd.command.options import global_flags
from innerd.coordinator.presence import Observed
from innerd.domain.errors import CODES
from innerd.log.sqlite import SqliteStore
from innerd.wire.stream import DECODERS
from tests.world import populated

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GROUPS = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}
VERBS = [(program, name) for program, group in GROUPS.items() for name in sorted(group.commands)]
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

_CODE = re.compile(r"[a-z]+(?:_[a-z]+)*")
_SAYERS = {"Failure", "DeviceError", "Refused", "usage", "unreachable", "not_found", "unauthorized"}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str) -> list[str]:
    """The lines of a page's tables."""
    return [line for line in page(name).splitlines() if line.startswith("|")]


def section(name: str, heading: str) -> str:
    """A section with all that is below it."""
    level = heading.split(" ")[0]
    _, _, rest = page(name).partition(f"\n{heading}\n")
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]


def quoted(text: str) -> set[str]:
    """What stands between backquotes."""
    return set(re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize(("program", "verb"), VERBS)
def test_a_verb_and_all_its_own_flags_are_in_commands(program: str, verb: str) -> None:
    own = section("commands.md", f"## Verbs of `{program}` alone")
    part = own if f"`{verb}`" in own else section("commands.md", "## Admin verbs of both")
    row = next((line for line in part.splitlines() if re.match(rf"\|[^|]*`{verb}`", line)), "")
    assert row, f"{program} {verb} has no row"
    # In its row, or in what the section says of several verbs.
    said = "\n".join([row, *(line for line in part.splitlines() if not re.match(r"\| `[a-z]", line))])
    for parameter in GROUPS[program].commands[verb].params:
        if isinstance(parameter, click.Option):
            names = [] if is_global(parameter) else parameter.opts
        else:
            names = [parameter.metavar.strip("[].") if parameter.metavar else str(parameter.name).upper()]
        for name in names:
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said), f"{program} {verb} {name}"


def is_global(option: click.Option) -> bool:
    return any(set(option.opts) <= set(known.opts) for known in global_flags())


def test_every_global_flag_is_in_commands() -> None:
    table = section("commands.md", "## Global flags")
    for option in global_flags():
        for flag in option.opts:
            assert f"`{flag}" in table, flag
    assert "--version" in table


def test_every_exit_status_is_in_its_page() -> None:
    numbers = {value for name, value in vars(failure).items() if name.isupper() and isinstance(value, int)}
    table = section("exit-status.md", "## Exit status")
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.M)} == {0, *numbers}


def codes_said(source: Path) -> Iterator[str]:
    """The stable codes that a source file gives to its errors."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        said: list[ast.expr | None] = []
        if isinstance(node, ast.arguments) and node.defaults:
            named = zip(node.args[-len(node.defaults) :], node.defaults, strict=True)
            said += [default for argument, default in named if argument.arg == "code"]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            said += node.args if name in _SAYERS or ast.unparse(node.func) == "super().__init__" else []
            said += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            said += [node.value] if ast.unparse(target) == "code" else []
        for value in (inner for whole in said if whole is not None for inner in branches(whole)):
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and _CODE.fullmatch(value.value):
                yield value.value


def branches(value: ast.expr) -> list[ast.expr]:
    return [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]


def test_every_error_code_is_in_its_page_and_no_other() -> None:
    sources = [path for top in ("innerd", "client/innclient", "dns/inndns") for path in (ROOT / top).rglob("*.py")]
    listed = {code for line in codes_by_status() for code in quoted(line.split("|")[2])} - {"inn install"}
    assert listed == {*CODES, *(code for source in sources for code in codes_said(source))}


_STATUS = {"usage": 2, "unreachable": 5, "not_found": 4, "DeviceError": 6}
_AT = {"usage": 2, "unreachable": 2, "not_found": 0, "DeviceError": 0, "Failure": 1}  # where a call has its code


def statuses_said(source: Path) -> Iterator[tuple[str, int]]:
    """The codes of a source file that are given with one exit status."""
    for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        name = ast.unparse(call.func).rpartition(".")[2] if isinstance(call, ast.Call) else ""
        if not isinstance(call, ast.Call) or name not in _AT or len(call.args) <= _AT[name]:
            continue
        status = _STATUS.get(name) or getattr(failure, ast.unparse(call.args[0]), None)
        code = call.args[_AT[name]]
        if isinstance(code, ast.Constant) and isinstance(code.value, str) and status:
            yield code.value, status


def test_a_code_stands_in_the_rows_of_the_statuses_that_it_is_given_with() -> None:
    given = [
        said for top in ("innerd", "client") for path in (ROOT / top).rglob("*.py") for said in statuses_said(path)
    ]
    assert len(given) > 50
    for code, status in given:
        rows = [line for line in codes_by_status() if f"`{code}`" in line]
        assert any(re.match(rf"\| {status}\b", row) for row in rows), (code, status)
    both = {code for code, _ in given if sum(f"`{code}`" in line for line in codes_by_status()) > 1}
    known = {code: {status for said, status in given if said == code} for code in both}
    assert {code for code, statuses in known.items() if len(statuses) == 1} <= {"store_unavailable", "stream_ended"}


def codes_by_status() -> list[str]:
    return re.findall(r"^\| \d.*$", section("exit-status.md", "### Codes by exit status"), re.M)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_registered_code_stands_in_the_row_of_its_exit_status(code: str) -> None:
    status = failure.status_of_code(code)
    assert any(re.match(rf"\| {status}\b", line) for line in codes_by_status() if f"`{code}`" in line), status


def keys(shape: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a configuration with the section that it stands in."""
    for field in msgspec.structs.fields(shape):
        inner = next((t for t in (field.type, *get_args(field.type)) if isinstance(t, type)), None)
        if inner is not None and issubclass(inner, msgspec.Struct):
            yield from keys(inner, field.encode_name)
        else:
            yield path, field.encode_name


@pytest.mark.parametrize(
    ("heading", "shape"),
    [
        ("## The coordinator: `/etc/innerd/<network>.toml`", innerd.config.Config),
        ("## The client: `/etc/inn/<interface>.toml`", innclient.config.Config),
    ],
)
def test_every_configuration_key_has_its_row(heading: str, shape: Any) -> None:
    whole = section("configuration.md", heading)
    for table, key in keys(shape):
        part = re.split(r"\n### ", whole.partition(f"\n### `[{table}]`\n")[2])[0] if table else whole
        assert f"| `{key}` |" in part or f"`[{key}]`" in part, f"[{table}] {key}"


async def test_every_route_is_in_api_and_no_other() -> None:
    """Read off the app as its door does; what the door never lets through (the framework's own pages) is no route."""
    templates = (await populated()).gate._routes._templates
    routes = {(method, parts) for method, found in templates.items() for parts in found}
    reachable = {f"{method} /{'/'.join(parts)}" for method, parts in routes if parts[0] == "v1" or parts[0] in OPEN}
    listed = {line.split("`")[1] for line in rows("api.md") if re.match(r"\| `[A-Z]+ /", line)}
    assert listed == reachable | {"GET /v1/user/events"}


@pytest.mark.parametrize("event", sorted(DECODERS))
def test_every_frame_and_each_of_its_fields_is_in_stream(event: str) -> None:
    part = section("stream.md", f"### `{event}`")
    for field in msgspec.structs.fields(DECODERS[event].type):
        assert f'"{field.encode_name}":' in part, field.encode_name


async def test_the_metrics_page_and_metrics_have_the_same_families(tmp_path: Path) -> None:
    """The coordinator's; the agent's are compared in tests/client/test_exporting.py."""
    w = await populated()
    w.presence.observe(w.peer("ryo").id, Observed(None, w.now, 1, 1))
    store = await SqliteStore.open(tmp_path / "kermpany.db", create=True)
    w.timings.observe_request("/healthz", "GET", 200, 0.001)
    w.provide(is_serving=True)
    made = Metrics(w.services, w.timings, {}, dns=Counters(), per_peer=True, store=store)
    families = text_string_to_metric_families(made.render().decode())
    await store.close()
    rendered = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    lines = section("metrics.md", "## Families of the coordinator").splitlines()
    listed = {name for line in lines if line.startswith("|") for name in quoted(line.split("|")[1]) if "_" in name}
    assert listed == rendered


def test_the_dependencies_page_names_what_the_runtime_lock_has_and_nothing_else() -> None:
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = {re.split(r"[^a-z0-9-]", text)[0] for text in project["dependencies"]}
    named = {
        heading: [line.split("`")[1] for line in section("dependencies.md", heading).splitlines() if line[:3] == "| `"]
        for heading in ("## What we import", "## What those bring")
    }
    assert set(named["## What we import"]) == direct
    assert sorted(name for names in named.values() for name in names) == sorted(locked)


INLINE = re.compile(r"`(innerd?|inn) ([a-z][a-z-]+)([^`]*)`")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_command_within_a_sentence_is_one(path: Path) -> None:
    """Its verb is there, and takes the flags that are named."""
    for program, verb, rest in INLINE.findall(path.read_text(encoding="utf-8")):
        known = GROUPS[program].commands
        if f"{program} {verb}{rest}" == "innerd admin proof v1":
            continue  # a word of the protocol
        assert verb in known, f"{program} {verb}"
        flags = {flag for option in (*known[verb].params, *global_flags()) for flag in option.opts} | {"--help"}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= flags, f"{program} {verb}{rest}"


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_relative_link_leads_nowhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target
