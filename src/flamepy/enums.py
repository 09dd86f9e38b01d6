"""The bases of our enums: members print the same on every Python. Imports nothing of flamepy.

Python 3.11 changed what ``print``, f-strings and ``%s`` show of a member of ``IntEnum`` and of an
enum of texts. Users print states and compare logs, so neither is left to the release.
"""

from __future__ import annotations

import enum

_NUMERIC = frozenset("bcdeEfFgGnoxX%,")  # what a format of a number ends with


class NumberEnum(enum.IntEnum):
    """An ``IntEnum`` that prints its member's name; ``int``, ``%d`` and ``:d`` give the number."""

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec[-1:] in _NUMERIC else format(self.name, spec)


class OpenEnum(NumberEnum):
    """An enum that keeps numbers that it has no name for.

    ``TaskState(9)`` is a member named ``UNKNOWN_9`` with value 9, equal to 9, so that a newer
    engine never breaks a listing (contract G4). Such members are not in ``list(TaskState)``.
    """

    @classmethod
    def _missing_(cls, value: object) -> OpenEnum | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}".replace("-", "_")
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        """False for a number that this release has no name for."""
        return not self._name_.startswith("UNKNOWN_")


class TextEnum(str, enum.Enum):
    """An enum of texts whose members print and format as their texts."""

    def __str__(self) -> str:
        text: str = self.value
        return text

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)
