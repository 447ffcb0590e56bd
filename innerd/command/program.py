"""A command with its verbs: help in groups and whole at 80 columns, and the shells that click does not know."""

from typing import Any

import click

from innerd.command.kinds import Offered
from innerd.command.options import Command, once_each
from innerd.command.table import SAID


class Program(click.Group):
    """The group of a program's verbs. Options before the verb count once each, as those after it."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not context.resilient_parsing:
            once_each(self, context, args)
        return super().parse_args(context, args)

    def get_help(self, ctx: click.Context) -> str:
        """The verbs in their groups, each in the order in which one comes to need them; then the global flags."""
        from innerd.command import guide, page

        drawn = page.begun(self, ctx)
        for title, verbs in guide.GROUPS[str(self.name)].items():
            drawn.verbs(title, [(verb, SAID[str(self.name)][verb][0]) for verb in verbs])
        flags = (one for one in self.get_params(ctx) if isinstance(one, click.Option))
        drawn.flags("Global flags, before the verb or after it", list(page.rows_of(flags, ctx)))
        return drawn.text()

    def _main_shell_completion(self, ctx_args: Any, prog_name: str, complete_var: str | None = None) -> None:
        """click looks for shells that it knows: here for those that we add too, where one of them asks."""
        import os

        variable = complete_var or f"_{prog_name}_COMPLETE".replace("-", "_").upper()
        if os.environ.get(variable, "").startswith(("elvish", "powershell")):
            from innerd.command import shells  # noqa: F401 - importing makes them known
        super()._main_shell_completion(ctx_args, prog_name, complete_var)


def said_of(command: click.Command) -> str:
    """A verb's words for lists."""
    from innerd.command import guide

    return command.short_help or guide.in_one_line(command.help or "")


def help_verb(group: click.Group) -> click.Command:
    @click.command("help", cls=Command)
    @click.argument("verb", required=False, type=Offered(lambda: group.commands))
    @click.pass_context
    def print_help(context: click.Context, verb: str | None) -> None:
        """Say what the verbs are, or what one of them takes."""
        parent = context.parent
        assert parent is not None  # noqa: S101 - a verb has its program around it
        if verb is None:
            click.echo(group.get_help(parent))
            return
        command = group.get_command(parent, verb)
        if command is None:
            raise click.UsageError(f"No such command {verb!r}.", parent)
        with command.make_context(verb, [], parent, resilient_parsing=True) as own:
            click.echo(command.get_help(own))

    return print_help
