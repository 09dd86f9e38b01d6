"""The commands by name; a command's module is loaded when it is called or its help is shown.

So ``flamepy doctor`` can still speak where another command's imports fail, and completing a word
in a shell does not load the cluster.
"""

from __future__ import annotations

from importlib import import_module

import click

from flamepy._version import __version__

COMMANDS = {
    "apps": "flamepy.cli.verbs.apps",
    "cache": "flamepy.cli.verbs.cache",
    "check-service": "flamepy.cli.verbs.check_service",
    "completion": "flamepy.cli.verbs.completion",
    "doctor": "flamepy.cli.verbs.doctor",
    "nodes": "flamepy.cli.verbs.nodes",
    "plugins": "flamepy.cli.verbs.plugins",
    "run": "flamepy.cli.verbs.run",
    "sessions": "flamepy.cli.verbs.sessions",
    "tasks": "flamepy.cli.verbs.tasks",
    "up": "flamepy.cli.verbs.up",
    "watch": "flamepy.cli.verbs.watch",
}


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
