"""Templates of requests: ``$name`` is replaced, and nothing else happens. Pure.

``string.Template`` has no expressions, attributes or calls, so a template runs no code. A value is
escaped for the content type; a template that is a mapping or a list cannot be broken by a value at
all, because it is encoded after its texts were filled.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from string import Template
from urllib.parse import quote_plus

from flamepy.errors import InvalidArgumentError

Scalar = str | int | float | bool | None
Json = Scalar | list["Json"] | dict[str, "Json"]
JSON = "application/json"


def _json(value: Scalar) -> str:
    return json.dumps(value)[1:-1] if isinstance(value, str) else json.dumps(value)


def plain(value: Scalar) -> str:
    """Return a value as text: nothing for None, else as JSON writes it, without quotes."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


_ESCAPES: dict[str, Callable[[Scalar], str]] = {
    JSON: _json,
    "application/x-www-form-urlencoded": lambda value: quote_plus(plain(value)),
    "application/xml": lambda value: html.escape(plain(value)),
    "text/html": lambda value: html.escape(plain(value)),
    "text/plain": plain,
    "text/xml": lambda value: html.escape(plain(value)),
}


class BodyTemplate:
    """A checked template of a body.

    Args:
        template: a text, or a mapping or list of which every text is one.
        names: the placeholders that there are, each with an example.
        content_type: what the body is; without it JSON.

    Raises:
        InvalidArgumentError: an unknown placeholder or content type, or a text that is not JSON
            once it is filled.
    """

    def __init__(
        self,
        template: object,
        *,
        names: Mapping[str, Scalar],
        content_type: str | None = None,
    ) -> None:
        self.content_type = content_type or JSON
        kind = self.content_type.partition(";")[0].strip().lower()
        if kind not in _ESCAPES and not kind.endswith("+json"):
            raise InvalidArgumentError(
                f"content_type must be {', '.join(sorted(_ESCAPES))} or end with +json, so that "
                f"values can be escaped; got {self.content_type!r}"
            )
        self._escape = _ESCAPES.get(kind, _json)
        self._template = template
        check_names(template, names, "template")
        if isinstance(template, str):
            if self._escape is _json:
                self._check_json(names)
        elif not isinstance(template, (dict, list)):
            raise InvalidArgumentError(
                f"template must be a text, a mapping or a list, got {type(template).__name__}"
            )
        elif self._escape is not _json:
            raise InvalidArgumentError(
                f"a template that is a mapping or list is sent as JSON, not as {kind}: "
                "leave content_type out, or write the template as a text"
            )

    def fill(self, values: Mapping[str, Scalar]) -> bytes:
        """Return the body for one event."""
        if isinstance(self._template, str):
            escaped = {name: self._escape(value) for name, value in values.items()}
            return Template(self._template).substitute(escaped).encode()
        texts = {name: plain(value) for name, value in values.items()}
        return json.dumps(fill_leaves(self._template, texts), separators=(",", ":")).encode()

    def _check_json(self, names: Mapping[str, Scalar]) -> None:
        try:
            json.loads(self.fill(names))
        except ValueError as error:
            raise InvalidArgumentError(
                f"template must be JSON once it is filled: {error}; put names of texts in quotes, "
                "or write the template as a mapping instead of a text"
            ) from None


def fill_leaves(part: object, texts: Mapping[str, str]) -> Json:
    """Return a JSON value with the placeholders in its texts replaced; keys stay as they are."""
    if isinstance(part, str):
        return Template(part).substitute(texts)
    if isinstance(part, dict):
        return {str(key): fill_leaves(value, texts) for key, value in part.items()}
    if isinstance(part, list):
        return [fill_leaves(value, texts) for value in part]
    assert part is None or isinstance(part, (bool, int, float))  # check_names says so
    return part


def check_names(part: object, names: Collection[str], option: str) -> None:
    """Check that every placeholder in a template is one of ``names``.

    Raises:
        InvalidArgumentError: with the nearest name that there is.
    """
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        for value in part:
            check_names(value, names, option)
    elif isinstance(part, str):
        for match in Template.pattern.finditer(part):
            if match["invalid"] is not None:
                raise InvalidArgumentError(
                    f"{option} has a $ without a name, in {part[match.start() :][:20]!r}: "
                    "write $$ for a dollar sign"
                )
            name = match["named"] or match["braced"]
            if name and name not in names:
                near = get_close_matches(name, names, 1)
                hint = f"did you mean ${near[0]}?" if near else f"there are {_listed(names)}"
                raise InvalidArgumentError(f"{option} has ${name}, which is no name: {hint}")
    elif not (part is None or isinstance(part, (bool, int, float))):
        raise InvalidArgumentError(
            f"{option} takes texts, numbers, lists and mappings, got {type(part).__name__}"
        )


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names))
