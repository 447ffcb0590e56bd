"""A command with its verbs: help in groups and whole at 80 columns, and the shells that click does not know."""

from typing import Any

import rich_click as click

from innerd.command.kinds import Offered
from innerd.command.options import COLUMNS, Command, once_each


class Program(click.RichGroup):
    """The group of a program's verbs. Options before the verb count once each, as those after it."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not context.resilient_parsing:
            once_each(self, context, args)
        return super().parse_args(context, args)

    def get_help(self, ctx: click.Context) -> str:
        from innerd.command import guide

        for command in self.commands.values():
            command.short_help = command.short_help or guide.in_one_line(command.help or "")
        return super().get_help(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The verbs in their groups, each in the order in which one comes to need them; then the global flags."""
        from innerd.command import guide

        groups = guide.GROUPS[str(self.name)].items()
        formatter.config.command_groups = {"*": [{"name": title, "commands": list(verbs)} for title, verbs in groups]}
        formatter.config.commands_before_options = True
        formatter.config.options_table_column_types = COLUMNS
        formatter.config.options_panel_title = "Global flags, before the verb or after it"
        super().format_options(ctx, formatter)

    def _main_shell_completion(self, ctx_args: Any, prog_name: str, complete_var: str | None = None) -> None:
        """click looks for shells that it knows: here for those that we add too, where one of them asks."""
        import os

        variable = complete_var or f"_{prog_name}_COMPLETE".replace("-", "_").upper()
        if os.environ.get(variable, "").startswith(("elvish", "powershell")):
            from innerd.command import shells  # noqa: F401 - importing makes them known
        super()._main_shell_completion(ctx_args, prog_name, complete_var)


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
