"""`completions SHELL`: the script that click makes, or for elvish and powershell ours."""

import click

from innerd.command.options import Command


def completions(program: str, group: click.Group) -> click.Command:
    @click.command("completions", cls=Command)
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "elvish", "powershell"]))
    def print_completions(shell: str) -> None:
        """Print the completion script of a shell."""
        from click.shell_completion import get_completion_class

        from innerd.command import shells  # noqa: F401 - importing makes the last two known

        kind = get_completion_class(shell)
        assert kind is not None  # noqa: S101 - the five above exist
        click.echo(kind(group, {}, program, f"_{program.upper()}_COMPLETE").source())

    return print_completions
