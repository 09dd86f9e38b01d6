"""``Secret``: a text that is not shown, such as a password or the key of a signature."""

from __future__ import annotations

import hmac

HIDDEN = "***"


class Secret:
    """A text that no log line, error, ``repr`` or pickle shows; ``reveal`` returns it.

    Two are equal if their texts are; the comparison takes the same time wherever they differ.

    Args:
        value: the text, or a ``Secret`` to take it from.

    Raises:
        TypeError: it is something else; the message does not show it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        text = value._value if isinstance(value, Secret) else value
        if not isinstance(text, str):
            raise TypeError(f"a Secret is made of a text, got a value of {type(value).__name__}")
        self._value: str = text

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled: pass the name of a variable or of a file instead")
