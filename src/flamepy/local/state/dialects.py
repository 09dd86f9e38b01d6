"""Which engine the embedded one can be. Pure."""

from __future__ import annotations

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of
from flamepy.types import Dialect

SPOKEN = (Dialect.OLD, Dialect.NEXT)


def checked_dialect(dialect: object) -> Dialect:
    """Return a dialect that can be spoken. Raises InvalidArgumentError."""
    for one in SPOKEN:
        if dialect == one.value:
            return one
    raise InvalidArgumentError(
        f"dialect must be {' or '.join(repr_of(one.value) for one in SPOKEN)}, "
        f"got {repr_of(dialect)}"
    )
