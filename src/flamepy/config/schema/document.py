"""What is wrong with the text of a ``flame.yaml``: every problem, each with its line.

Nothing of the environment, of files or of plugins is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flamepy.config.endpoint import without_passwords
from flamepy.config.schema.keys import ROOT
from flamepy.config.schema.kinds import Place, Problem, shown

if TYPE_CHECKING:
    from yaml.nodes import Node

ANOTHER = "another informer: give each one of its own, beside plugin:"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a file.

    Attributes:
        line, column: where it is, from 1; 0 if that is not known.
        where: the keys to it: ``contexts[production].informers[0].events``; "" for the file.
        message: what is wrong, with the way out.
    """

    line: int
    column: int
    where: str
    message: str

    def text(self, file: str) -> str:
        """Return it as one line for people and editors: ``flame.yaml:12:7: ...``."""
        at = f":{self.line}:{self.column}" if self.line else ""
        where = f"{self.where}: " if self.where else ""
        return f"{file}{at}: {where}{self.message}"


class Document:
    """A file's text as values, and where each of them is.

    Attributes:
        value: what the file holds; None if it is not YAML.
    """

    def __init__(self, text: str) -> None:
        import yaml  # costs 10 ms, and most processes have no file

        self._keys: dict[Place, tuple[int, int]] = {}
        self._values: dict[Place, tuple[int, int]] = {}
        self._walked: set[int] = set()
        self._early: list[Finding] = []
        self.value: Any = None  # Any: whatever YAML holds
        try:
            self.value = yaml.safe_load(text)
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            self._early.append(_broken(error))
        else:
            if node is not None:
                self._walk(node, ())

    def _walk(self, node: Node, place: Place) -> None:
        import yaml

        if id(node) in self._walked:
            return  # an alias: what is in it has its lines where the anchor is
        self._walked.add(id(node))
        mark = node.start_mark
        self._values.setdefault(place, (mark.line + 1, mark.column + 1))
        if isinstance(node, yaml.SequenceNode):
            for index, one in enumerate(node.value):
                self._walk(one, (*place, index))
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, one in node.value:
                if key.tag == _MERGE:
                    self._merge(one, place)
                    continue
                line, column = key.start_mark.line + 1, key.start_mark.column + 1
                name = key.value if isinstance(key.value, str) else str(key.value)
                if name in seen:
                    message = f"the key {shown(name)} is there twice, in line {seen[name]} as well"
                    self._early.append(Finding(line, column, self.where(place), message))
                seen.setdefault(name, line)
                inner = (*place, name)
                self._keys[inner] = line, column
                self._walk(one, inner)

    def _merge(self, node: Node, place: Place) -> None:
        import yaml

        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(one, yaml.MappingNode):
                self._walk(one, place)

    def where(self, place: Place) -> str:
        """Return a place as text; an item of a list is called by its name, if it has one."""
        text, value = "", self.value
        for step in place:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                value = None
            if isinstance(step, int):
                name = value.get("name") if isinstance(value, dict) else None
                text += f"[{name if isinstance(name, str) else step}]"
            else:
                text += f".{step}" if text else str(step)
        return text

    def finding(self, problem: Problem) -> Finding:
        """Return a problem with its line: that of its key, or of what is nearest around it."""
        place, first = problem.place, True
        while place:
            by_key = self._keys.get(_plain(place))
            found = by_key if problem.of_key and first and by_key else None
            found = found or self._values.get(_plain(place)) or by_key
            if found is not None:
                break
            place, first = place[:-1], False
        else:
            found = self._values.get((), (0, 0))
        about = problem.place[:-1] if problem.of_key else problem.place
        return Finding(found[0], found[1], self.where(about), problem.message)

    def findings(self) -> list[Finding]:
        """Return every problem, in the order of the lines."""
        found = list(self._early)
        if self.value is not None or not found:
            found += map(self.finding, [*ROOT.problems(self.value, ()), *self._more()])
        return sorted(found, key=lambda one: (one.line, one.column))

    def _more(self) -> Iterator[Problem]:
        """Yield what concerns several keys."""
        root = self.value if isinstance(self.value, dict) else {}
        contexts = root.get("contexts")
        contexts = contexts if isinstance(contexts, list) else []
        names = [one.get("name") for one in contexts if isinstance(one, dict)]
        current = root.get("current-context")
        if isinstance(current, str) and contexts and current not in names:
            listed = ", ".join(repr(one) for one in names if isinstance(one, str)) or "none"
            yield Problem(("current-context",), f"no context is called {shown(current)}: {listed}")
        yield from _twice(names, ("contexts",), "another context")
        for index, one in enumerate(contexts):
            informers = one.get("informers") if isinstance(one, dict) else None
            if isinstance(informers, list):
                called = [
                    each.get("name") if isinstance(each, dict) else each for each in informers
                ]
                yield from _twice(called, ("contexts", index, "informers"), ANOTHER)


def _twice(names: Iterable[object], place: Place, whose: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if isinstance(name, str) and name in seen:
            yield Problem((*place, index), f"the name {shown(name)} is that of {whose}")
        elif isinstance(name, str):
            seen.add(name)


def _plain(place: Place) -> Place:
    return tuple(one if isinstance(one, int) else str(one) for one in place)


def _broken(error: Exception) -> Finding:
    """Return what is wrong with YAML, and none of the file's lines: passwords may be in them."""
    mark = getattr(error, "problem_mark", None)
    problem = without_passwords(getattr(error, "problem", None) or "it cannot be read")
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    return Finding(line, column, "", f"this is not YAML: {problem}")
