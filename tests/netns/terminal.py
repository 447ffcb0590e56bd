"""Terminals on the hosts of a lab, and somebody who types what a page of the documentation shows.

What a page shows below a command must be what the command says (see tests/pages.py for what counts as the same). A
command that looks is repeated until it does: between a change and what others show of it lies a moment. A command that
changes something is typed once. Where a page shows an error, the exit status must be the one of its code.
"""

import re
import shlex
import signal
import threading
from pathlib import Path

from tests.netns.lab import PATIENCE, Failed, Host, Lab, wait_for
from tests.pages import Step, agrees, statuses_of

HERE = Path(__file__).parent
HOME = "/run/.lab"
ENDED = "·status·"
_LOOKING = (
    r"ping|dig|getent|curl|wg|cat|inn(?: -\S+ \S+)* (?:show|list|status|why|events|doctor|audit|list-\S+)|inn$|"
    r"innerd(?: -\S+ \S+)* (?:show|status|why|doctor|audit|list-\S+|convergence|verify)"
)
LOOKS = re.compile(rf"^(?:{_LOOKING})(?: |$)")
_CODE = re.compile(r"^error: .*\[([a-z_]+)\]$", re.M)
# What a page may write to that other hosts of the lab, or this machine, would share.
_PRIVATE = ("/var/backups", "/srv", "/mnt")


class Terminal:
    """A shell on a host that stays, as a reader's does: variables and the folder last from command to command."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._shell = host.shell()
        for folder in _PRIVATE:
            host.run("mount", "-t", "tmpfs", "tmpfs", folder)
        host.run("mkdir", f"{HOME}/bin", f"{HOME}/tmp")
        host.path(f"{HOME}/bin/systemctl").symlink_to(HERE / "systemctl")
        self.type(f"export TMPDIR={HOME}/tmp PATH={HOME}/bin:$PATH")

    def type(self, command: str, seconds: float = 60) -> tuple[int, list[str]]:
        """A command's exit status, and what it said."""
        assert self._shell.stdin
        assert self._shell.stdout
        late = threading.Timer(seconds * PATIENCE, self.host.end)
        late.start()
        try:
            self._shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n{ENDED}%s\\n' $?\n")
            self._shell.stdin.flush()
            said: list[str] = []
            for line in self._shell.stdout:
                if line.startswith(ENDED):
                    return int(line.removeprefix(ENDED)), said
                said.append(line.rstrip("\n"))
        finally:
            late.cancel()
        raise Failed(f"{self.host.name}# {command}: not done after {seconds * PATIENCE} s\n" + "\n".join(said))

    def watch(self, command: str, shown: list[str]) -> None:
        """A command that goes on until it is interrupted, which it is when it has said what is shown."""
        log = f"{HOME}/watched"
        self.host.path(log).write_text("")
        child = self.host.start("bash", "-c", f"echo $$; exec {command}", log=log)

        def said() -> list[str]:
            return self.host.path(log).read_text().splitlines()

        try:
            wait_for(lambda: len(said()) > 1 and agrees(shown, said()[1:]), f"{command!r} to say {shown}, not {said()}")
        finally:
            self.host.run("kill", f"-{signal.SIGINT.name}", said()[0], status=None)
            child.wait(20 * PATIENCE)


class Typist:
    """Who types a page's commands, each on the terminal that it belongs to. Hosts are plugged in as they are named."""

    def __init__(self, lab: Lab, names: dict[str, str] | None = None) -> None:
        self.lab = lab
        self._names = names or {}  # of hosts, as the internet's DNS has them
        self._terminals: dict[str, Terminal] = {}

    def terminal(self, name: str) -> Terminal:
        if name not in self._terminals:
            self._terminals[name] = Terminal(self.lab.host(name))
            self._tell_names()
        return self._terminals[name]

    def _tell_names(self) -> None:
        """The names of hosts stand in everybody's hosts file: a lab has no DNS of its own."""
        hosts = self.lab.hosts
        known = [f"{hosts[name].address} {dns}" for name, dns in self._names.items() if name in hosts]
        for host in hosts.values():
            file = host.path("/etc/hosts")
            rest = [line for line in file.read_text().splitlines() if line not in known]
            file.write_text("\n".join([*known, *rest]) + "\n")

    def type(self, step: Step) -> None:
        assert step.host, f"{step.place}: nobody's terminal"
        if step.command.startswith("scp "):
            self._copy(step)
        elif step.shown[-1:] == ["^C"]:
            self.terminal(step.host).watch(step.command, step.shown[:-1])
        else:
            self._run(step)

    def _run(self, step: Step) -> None:
        terminal = self.terminal(str(step.host))
        wanted = statuses_shown(step)
        said = ""

        def done() -> bool:
            nonlocal said
            status, lines = terminal.type(step.command)
            said = "\n".join([*lines, f"(exit status {status})"])
            return status in wanted and (not step.shown or agrees(step.shown, lines))

        if LOOKS.match(step.command):
            try:
                wait_for(done, step.command, seconds=20)
            except Failed:
                raise wrong(step, said) from None
        elif not done():
            raise wrong(step, said)

    def _copy(self, step: Step) -> None:
        """`scp FILE HOST:` between hosts of the lab: they have no ssh."""
        source, target = [word for word in shlex.split(step.command)[1:] if not word.startswith("-")]
        name, _, folder = target.rpartition("@")[2].partition(":")
        by_dns = {dns: host for host, dns in self._names.items()}
        taker = self.terminal(by_dns.get(name, name)).host
        data = self.terminal(str(step.host)).host.path(absolute(source)).read_bytes()
        to = taker.path(absolute(folder or "."))
        file = to / Path(source).name if to.is_dir() else to
        file.touch(mode=0o600)
        file.write_bytes(data)


def absolute(path: str) -> str:
    return str(Path(HOME, path))


def statuses_shown(step: Step) -> set[int]:
    """The exit statuses that a command may end with: 0, or where the page shows an error, those of its code."""
    code = _CODE.search("\n".join(step.shown))
    return statuses_of(code[1]) if code else {0}


def wrong(step: Step, said: str) -> Failed:
    shown = "\n".join(step.shown)
    return Failed(f"{step.place}: {step.host}# {step.command}\n--- the page shows\n{shown}\n--- it says\n{said}")
