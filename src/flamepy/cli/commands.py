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

COMMANDS = {
    found.name.replace("_", "-"): f"{verbs.__name__}.{found.name}"
    for found in iter_modules(verbs.__path__)
}
"""The module of each command: ``cli/verbs/check_service.py`` has ``flamepy check-service``."""


class LazyGroup(click.Group):
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
def flamepy() -> None:
    """Clients, informers and an embedded cluster for the Flame engine."""
