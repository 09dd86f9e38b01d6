"""Values of options that click does not know."""

from __future__ import annotations

import re

import click

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d+)([KMGT]?)")


class Seconds(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Seconds of any size, as a number or like ``90s``, ``5m``, ``1h``; ``inf`` is for ever.

    Args:
        zero: whether 0 is allowed.
    """

    name = "seconds"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; fails with the rule."""
        try:
            number = _parsed(value) if isinstance(value, str) else value
            return seconds("it", number, zero=self._zero)
        except (ValueError, InvalidArgumentError):
            least = "of 0 or more" if self._zero else "above 0"
            self.fail(
                f"{repr_of(value)} is no number of seconds {least}, such as 2.5, 90s, 1h or inf",
                param,
                ctx,
            )


def _parsed(text: str) -> float:
    match = _DURATION.fullmatch(text.strip().lower())
    return float(match[1]) * _UNITS[match[2]] if match else float(text)


class Bytes(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """A number of bytes, such as ``512M``; K, M, G or T may follow the number."""

    name = "bytes"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes; fails with the rule."""
        match = _SIZE.fullmatch(str(value).strip().upper())
        if match is None or not int(match[1]):
            self.fail(
                f"{repr_of(value)} is no number of bytes above 0; write it like 512M or 2G",
                param,
                ctx,
            )
        return int(match[1]) * _SIZES[match[2]]


SECONDS = Seconds()
BYTES = Bytes()
