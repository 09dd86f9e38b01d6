"""Seconds that users give: checked, and clamped to what threads, loops and gRPC can count.

Everything that takes seconds from a user asks here, before anything is begun: a huge number or
``math.inf`` would be an error in a thread, a wait that is over at once in gRPC, or a riddle later.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.clocks import LONGEST
from flamepy.texts import repr_of

NUMBERS: tuple[type, ...] = (int, float, Real)
WAY_OUT = "write a number such as 2.5; math.inf is as long as can be counted"


def seconds(
    name: str, value: object, *, zero: bool = True, none: bool = False, hint: str = WAY_OUT
) -> float:
    """Return seconds as a float, ``LONGEST`` at most.

    Args:
        name: the argument's, for the message.
        value: what was given.
        zero: whether 0 is allowed.
        none: whether the message is to say that None is allowed, too.
        hint: the way out, for the message.

    Raises:
        InvalidArgumentError: it is no number (a bool, a text, a ``timedelta``), nan, or too small.
    """
    number: Any = value  # Any: a number of any library, or what is refused
    # Compared before it is a float: an int may be larger than any float.
    counts = isinstance(number, NUMBERS) and not isinstance(number, bool)
    if counts and (number > 0 or (zero and number == 0)):
        return LONGEST if number > LONGEST else float(number)
    rule = f"{'0 or more' if zero else 'more than 0'}{', or None' if none else ''}"
    raise InvalidArgumentError(f"{name} must be seconds, {rule}, got {repr_of(value)}; {hint}")


def seconds_or_none(
    name: str, value: object, *, zero: bool = True, hint: str = WAY_OUT
) -> float | None:
    """Return None as it is, else as ``seconds``. Raises InvalidArgumentError."""
    return None if value is None else seconds(name, value, zero=zero, none=True, hint=hint)
