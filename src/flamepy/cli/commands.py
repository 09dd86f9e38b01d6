"""The commands by name; a command's module is loaded when it is called or its help is shown.

So ``flamepy doctor`` can still speak where another command's imports fail, and completing a word
in a shell does not load the cluster.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import click

from flamepy._version import __version__
from flamepy.cli import verbs
from flamepy.cli.groups import CommandGroup

COMMANDS = {
    found.name.replace("_", "-"): f"{verbs.__name__}.{found.name}"
    for found in iter_modules(verbs.__path__)
}
"""The module of each command: ``cli/verbs/check_service.py`` has ``flamepy check-service``."""


class LazyGroup(CommandGroup):
    """A group that imports a command when it is asked for: module ``COMMANDS[name]``, its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in alphabetical order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, or None when none has that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_")
        )
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flamepy")
@click.option(
    "--endpoint",
    metavar="URL",
    help="The engine, for commands that ask one; may also be given after the command.",
)
@click.pass_context
def flamepy(context: click.Context, endpoint: str | None) -> None:
    """Clients, informers and an embedded cluster for the Flame engine."""
    name = context.invoked_subcommand
    group = context.command
    if endpoint is None or name is None or not isinstance(group, LazyGroup):
        return
    command = group.get_command(context, name)
    if command is None or _asks_an_engine(command):
        return
    if any("--endpoint" in one.opts for one in command.params):
        raise click.UsageError(f"--endpoint of {name} is no engine's: give it after {name}")
    raise click.UsageError(f"flamepy {name} asks no engine: leave --endpoint out")


def _asks_an_engine(command: click.Command) -> bool:
    inside = command.commands.values() if isinstance(command, click.Group) else ()
    return any(one.name == "endpoint" for one in command.params) or any(
        map(_asks_an_engine, inside)
    )
