"""`completions SHELL`: the script that click makes."""

import rich_click as click

from innclient.options import Command


def completions(program: str, group: click.Group) -> click.Command:
    @click.command("completions", cls=Command)
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
    def print_completions(shell: str) -> None:
        """Print the completion script of a shell."""
        from click.shell_completion import get_completion_class

        kind = get_completion_class(shell)
        assert kind is not None  # noqa: S101 - the three above exist
        click.echo(kind(group, {}, program, f"_{program.upper()}_COMPLETE").source())

    return print_completions
