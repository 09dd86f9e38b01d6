"""``flamepy explain-error``: what causes an error, what shows it, and the way out."""

from __future__ import annotations

import click

from flamepy.cli.error_help import HELP, classes, meant
from flamepy.cli.showing.output import printable
from flamepy.texts import repr_of


@click.command()
@click.argument("code", required=False)
def explain_error(code: str | None) -> None:
    """Say what causes the error CODE, and the way out of it.

    CODE is the code at the end of an error's line, such as FL311, or the name of its class.
    Without it: all of them.
    """
    if code is None:
        for one, kind in classes().items():
            click.echo(f"{one}  {kind.__name__}")
        return
    found = meant(code)
    if found is None:
        raise click.UsageError(f"no error is {repr_of(code)}; flamepy explain-error lists them")
    kind, known = classes()[found], HELP[found]
    lines = [
        f"{found} {kind.__name__} ({kind.default_code.name})",
        known.why,
        *(f"  find out:  {one}" for one in known.find),
        f"  way out:   {known.way_out}",
        f"  more:      docs/errors.md#{found.lower()}",
    ]
    for line in lines:
        click.echo(printable(line))
