"""Values of options that click does not know."""

from __future__ import annotations

import click

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Seconds, more than 0, of any size; ``inf`` is as long as can be counted."""

    name = "seconds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; fails with the rule."""
        try:
            number = float(value) if isinstance(value, str) else value
            return seconds("it", number, zero=False)
        except (ValueError, InvalidArgumentError):
            self.fail(
                f"{repr_of(value)} is no number of seconds above 0, such as 2.5 or inf", param, ctx
            )


SECONDS = Seconds()
