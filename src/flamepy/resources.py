"""Text forms of resources: ``"cpu=4,mem=16g,gpu=1"`` to numbers.

Pure parsing; ``types.ResourceRequirement.from_string`` is its one caller for users. Imports
``errors`` only.
"""

from __future__ import annotations

import re

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of

_NAMES = {"cpu": "cpu", "mem": "memory", "memory": "memory", "gpu": "gpu"}
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NUMBER = re.compile(r"([0-9]+)")
_MEMORY = re.compile(r"([0-9]+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_LIMITS = {"cpu": (1 << 64) - 1, "memory": (1 << 64) - 1, "gpu": (1 << 31) - 1}
_EXAMPLE = 'write it like "cpu=4,mem=16g,gpu=1"'


def parse_resources(text: str) -> dict[str, int]:
    """Return ``{"cpu": ..., "memory": bytes, "gpu": ...}`` with the names that ``text`` has.

    Blanks around names and values are allowed; memory takes K, M, G or T in any case, as powers
    of 1024. An absent name is left out.

    Raises:
        InvalidArgumentError: a part without "=", an unknown or repeated name, a value that is
            not a whole number or does not fit the wire.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"resources must be text, got {repr_of(text)}; {_EXAMPLE}")
    values: dict[str, int] = {}
    for part in text.split(","):
        label, equals, value = (piece.strip() for piece in part.partition("="))
        name = _NAMES.get(label.lower())
        if not equals or name is None:
            raise InvalidArgumentError(
                f"resources {repr_of(text)}: {repr_of(part.strip())} is not one of cpu=, mem=, "
                "memory=, gpu=; "
                f"{_EXAMPLE}"
            )
        if name in values:
            raise InvalidArgumentError(f"resources {repr_of(text)}: {name} is given twice")
        values[name] = _amount(text, name, value)
    return values


def _amount(text: str, name: str, value: str) -> int:
    match = (_MEMORY if name == "memory" else _NUMBER).fullmatch(value)
    if match is None:
        rule = "a whole number"
        if name == "memory":
            rule += " of bytes, with K, M, G or T after it if wanted"
        raise InvalidArgumentError(
            f"resources {repr_of(text)}: {name}={repr_of(value)} must be {rule}, not negative; "
            f"{_EXAMPLE}"
        )
    unit = match.group(2).lower() if name == "memory" else ""
    amount = int(match.group(1)) * _UNITS[unit]
    if amount > _LIMITS[name]:
        raise InvalidArgumentError(
            f"resources {repr_of(text)}: {name}={value} is more than {_LIMITS[name]}, the wire's "
            "limit"
        )
    return amount
