"""Groups of commands, which show their help when no command is given."""

from __future__ import annotations

import click


class CommandGroup(click.Group):
    """A group that without arguments prints its help and ends with status 0.

    click itself does so up to 8.1; newer releases print the help as an error, with status 2.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; without any, print the help of a group that does nothing alone."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)
