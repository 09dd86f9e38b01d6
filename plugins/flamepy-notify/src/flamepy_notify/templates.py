"""Templates of messages: text with names in braces, and nothing that runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter

from flamepy.errors import InvalidArgumentError


class Template:
    """A text with fields such as ``{count}``; ``{{`` and ``}}`` are braces.

    A field is a name and nothing else: no attribute, index, conversion or format, and a value is
    never read as a template again: neither of them can run code or reach an object.

    Args:
        text: the template.
        name: what an error calls it.
        fields: the names that may stand in it.

    Raises:
        InvalidArgumentError: names the template, what is wrong in it, and the names that there are.
    """

    __slots__ = ("_parts",)

    def __init__(self, text: str, *, name: str, fields: Iterable[str]) -> None:
        known = frozenset(fields)
        choices = ", ".join(f"{{{one}}}" for one in sorted(known))
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise InvalidArgumentError(
                f"the template {name} has a brace that opens or closes nothing ({error}): write "
                f"{{{{ or }}}} for a brace itself; its fields are {choices}"
            ) from None
        self._parts: list[tuple[str, str | None]] = []
        for literal, field, form, conversion in parsed:
            if field is not None and (field not in known or form or conversion):
                written = (
                    f"{field}{'!' + conversion if conversion else ''}{':' + form if form else ''}"
                )
                raise InvalidArgumentError(
                    f"the template {name} has {{{written}}}: a field is one of {choices}, without "
                    "a format, an attribute or an index"
                )
            self._parts.append((literal, field))

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with the fields' values in their places, as they are."""
        return "".join(
            literal + (values[field] if field is not None else "") for literal, field in self._parts
        )
