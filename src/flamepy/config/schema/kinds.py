"""Kinds of values in a configuration: each says what is wrong with one, and its JSON Schema.

A value is what YAML holds: text, number, true or false, null, list or mapping. Pure.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flamepy.config.endpoint import without_passwords
from flamepy.texts import repr_of

Place = tuple["str | int", ...]
Schema = dict[str, Any]  # Any: what JSON takes


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place of a document.

    Attributes:
        place: keys of mappings and indexes of lists, from the document's root.
        message: what is wrong, with the way out.
        of_key: True if it is about the key, False if about its value.
    """

    place: Place
    message: str
    of_key: bool = False


class Kind(ABC):
    """The kind of a value.

    Attributes:
        hidden: whether a value may be a secret, so that no message shows it.
    """

    hidden: bool = False

    @property
    @abstractmethod
    def words(self) -> str:
        """What it is, for messages and tables: ``a number above 0``."""

    @abstractmethod
    def schema(self) -> Schema:
        """Return its JSON Schema."""

    @abstractmethod
    def fits(self, value: object) -> bool:
        """Whether a value is of this kind, without a look into it."""

    def inside(self, value: Any, place: Place) -> Iterator[Problem]:
        """Yield what is wrong in a value that ``fits``. Any: it is of the kind."""
        return iter(())

    def problems(self, value: object, place: Place) -> Iterator[Problem]:
        """Yield what is wrong with a value, at ``place``."""
        if self.fits(value):
            yield from self.inside(value, place)
        else:
            got = f"a value of type {type(value).__name__}" if self.hidden else shown(value)
            yield Problem(place, f"must be {self.words}, got {got}")


@dataclass(frozen=True)
class Text(Kind):
    """A text.

    Attributes:
        about: what it is, for messages.
        pattern: a regular expression that is found in it.
        hidden: see ``Kind``.
    """

    about: str = "text"
    pattern: str = r"\S"
    hidden: bool = False

    @property
    def words(self) -> str:
        """What it is."""
        return self.about

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "string", "pattern": self.pattern}

    def fits(self, value: object) -> bool:
        """Whether it is a text with the pattern; by default, one that is not empty."""
        return isinstance(value, str) and re.search(self.pattern, value) is not None


@dataclass(frozen=True)
class Choice(Kind):
    """One of some texts.

    Attributes:
        values: which.
        noun: what one is called in messages.
    """

    values: tuple[str, ...]
    noun: str = "value"

    @property
    def words(self) -> str:
        """What it is."""
        return f"one of {', '.join(self.values)}"

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"enum": list(self.values)}

    def fits(self, value: object) -> bool:
        """Whether it is one of them."""
        return isinstance(value, str) and value in self.values

    def problems(self, value: object, place: Place) -> Iterator[Problem]:
        """Yield that it is not one of them, with the one that was probably meant."""
        if not self.fits(value):
            hint = did_you_mean(str(value), self.values)
            yield Problem(place, f"must be {self.words}, got {shown(value)}{hint}")


@dataclass(frozen=True)
class Number(Kind):
    """A number.

    Attributes:
        least: the least one.
        above: a number that it must be above.
        whole: whether it has no fraction.
        unit: what it counts: ``seconds``.
    """

    least: float | None = None
    above: float | None = None
    whole: bool = False
    unit: str = ""

    @property
    def words(self) -> str:
        """What it is."""
        what = "a whole number" if self.whole else "a number"
        what += f" of {self.unit}" if self.unit else ""
        if self.above is not None:
            return f"{what} above {self.above:g}"
        return what if self.least is None else f"{what}, {self.least:g} or more"

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        found: Schema = {"type": "integer" if self.whole else "number"}
        if self.least is not None:
            found["minimum"] = self.least
        if self.above is not None:
            found["exclusiveMinimum"] = self.above
        return found

    def fits(self, value: object) -> bool:
        """Whether it is such a number, and finite."""
        kinds = (int,) if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return False
        low = (self.least is None or value >= self.least) and (
            self.above is None or value > self.above
        )
        return low and value < float("inf")


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    @property
    def words(self) -> str:
        """What it is."""
        return "true or false"

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "boolean"}

    def fits(self, value: object) -> bool:
        """Whether it is one of the two."""
        return isinstance(value, bool)


@dataclass(frozen=True)
class Null(Kind):
    """Null: the option is given, and says None."""

    about: str = "null"

    @property
    def words(self) -> str:
        """What it is."""
        return self.about

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "null"}

    def fits(self, value: object) -> bool:
        """Whether it is null."""
        return value is None


@dataclass(frozen=True)
class ListOf(Kind):
    """A list of values of one kind.

    Attributes:
        item: their kind.
        length: how many; None for any number.
        about: what it is, for messages.
    """

    item: Kind
    length: int | None = None
    about: str = ""

    @property
    def words(self) -> str:
        """What it is."""
        return self.about or f"a list, each {self.item.words}"

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        found: Schema = {"type": "array", "items": self.item.schema()}
        if self.length is not None:
            found.update(minItems=self.length, maxItems=self.length)
        return found

    def fits(self, value: object) -> bool:
        """Whether it is a list of that length."""
        return isinstance(value, list) and self.length in (None, len(value))

    def inside(self, value: Any, place: Place) -> Iterator[Problem]:
        """Yield what is wrong with the values."""
        for index, one in enumerate(value):
            yield from self.item.problems(one, (*place, index))


@dataclass(frozen=True)
class Mapped(Kind):
    """A mapping of any texts to values of one kind.

    Attributes:
        item: the values' kind; None for any.
        about: what it is, for messages.
        hidden: see ``Kind``.
    """

    item: Kind | None = None
    about: str = "a mapping of keys to values"
    hidden: bool = False

    @property
    def words(self) -> str:
        """What it is."""
        return self.about

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        more = {} if self.item is None else {"additionalProperties": self.item.schema()}
        return {"type": "object", **more}

    def fits(self, value: object) -> bool:
        """Whether it is a mapping."""
        return isinstance(value, Mapping)

    def inside(self, value: Any, place: Place) -> Iterator[Problem]:
        """Yield keys that are no texts, and what is wrong with the values."""
        for key, one in value.items():
            if not isinstance(key, str):
                message = f"the keys must be texts, got {shown(key)}: put it in quotes"
                yield Problem((*place, key), message, of_key=True)
            elif self.item is not None:
                yield from self.item.problems(one, (*place, key))


@dataclass(frozen=True)
class Key:
    """One key of a section.

    Attributes:
        name: the key.
        kind: its value's.
        about: one sentence for the tables of docs/configuration.md and for editors.
        needed: whether it must be there.
    """

    name: str
    kind: Kind
    about: str
    needed: bool = False

    @property
    def plain(self) -> str:
        """The sentence without marks of Markdown."""
        return self.about.replace("`", "")

    def schema(self) -> Schema:
        """Return the JSON Schema of its value."""
        return {"description": self.plain, **self.kind.schema()}


@dataclass(frozen=True)
class Section(Kind):
    """A mapping with known keys.

    Attributes:
        keys: which.
        about: what it is, for messages.
        open: whether other keys may be there, of other programs; one that is all but spelt as a
            known one is refused nevertheless.
        hint: added to what is said of an unknown key.
    """

    keys: tuple[Key, ...]
    about: str = "a mapping of keys to values"
    open: bool = False
    hint: str = ""

    @property
    def words(self) -> str:
        """What it is."""
        return self.about

    @property
    def names(self) -> list[str]:
        """The keys' names."""
        return [one.name for one in self.keys]

    def get(self, name: str) -> Key:
        """Return a key by its name."""
        return next(one for one in self.keys if one.name == name)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        found: Schema = {
            "type": "object",
            "properties": {one.name: one.schema() for one in self.keys},
        }
        needed = [one.name for one in self.keys if one.needed]
        if needed:
            found["required"] = needed
        if not self.open:
            found["additionalProperties"] = False
        return found

    def fits(self, value: object) -> bool:
        """Whether it is a mapping."""
        return isinstance(value, Mapping)

    def inside(self, value: Any, place: Place) -> Iterator[Problem]:
        """Yield unknown and missing keys, and what is wrong with the values."""
        for one in self.keys:
            if one.needed and value.get(one.name) is None:
                yield Problem(place, f"{one.name} is missing: {one.plain}")
        for name, given in value.items():
            if name not in self.names:
                yield from self._unknown(name, place)
            elif given is not None:
                yield from self.get(name).kind.problems(given, (*place, name))

    def _unknown(self, name: object, place: Place) -> Iterator[Problem]:
        cutoff = 0.75 if self.open else 0.6
        meant = did_you_mean(str(name), self.names, cutoff)
        if meant or not self.open:
            there = "" if self.open else f"; there are {', '.join(self.names)}{self.hint}"
            text = f"unknown key {shown(name)}{meant}{there}"
            yield Problem((*place, name), text, of_key=True)  # type: ignore[arg-type]  # any key


@dataclass(frozen=True)
class OneOf(Kind):
    """A value of one of several kinds, the first that fits.

    Attributes:
        kinds: which.
        about: what it is, for messages; by default made of the kinds.
    """

    kinds: tuple[Kind, ...]
    about: str = ""

    @property
    def words(self) -> str:
        """What it is."""
        return self.about or ", or ".join(one.words for one in self.kinds)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"anyOf": [one.schema() for one in self.kinds]}

    def fits(self, value: object) -> bool:
        """Whether it is of one of them."""
        return any(one.fits(value) for one in self.kinds)

    def inside(self, value: Any, place: Place) -> Iterator[Problem]:
        """Yield what is wrong by the first kind that fits."""
        kind = next(one for one in self.kinds if one.fits(value))
        yield from kind.inside(value, place)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return ``; did you mean 'x'?`` for the nearest of some names, or nothing."""
    import difflib  # most files have no unknown key

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {repr_of(near[0])}?" if near else ""


def shown(value: object) -> str:
    """Return a value for a message: short, and without the passwords of URLs in it."""
    text = without_passwords(repr_of(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
