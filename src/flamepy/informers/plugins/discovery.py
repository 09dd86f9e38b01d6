"""Which informer plugins are installed: the entry points of the group ``flamepy.informers``.

Only metadata is read; no plugin is imported. Every distribution is read by itself and line by
line, so that one with broken metadata spoils no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata

from flamepy.texts import described, repr_of

GROUP = "flamepy.informers"
_NAME = re.compile(r"[\w.-]+")
_VALUE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*(\s*\[[^\]]*\])?")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """An installed plugin, or one that is enabled and not installed.

    Attributes:
        name: by which it is enabled.
        distribution, version: what brought it; "" when nothing did.
        value: what is loaded, ``module:attribute``.
        enabled: whether the configuration enables it (``check_plugins`` says so).
        problem: why it cannot be used, None when nothing is known against it.
    """

    name: str
    distribution: str = ""
    version: str = ""
    value: str = ""
    enabled: bool = False
    problem: str | None = None

    @property
    def origin(self) -> str:
        """The distribution and its version, for messages."""
        return f"{self.distribution} {self.version}".strip() or "no distribution"


def discover() -> list[PluginInfo]:
    """Return every installed plugin by name; ``problem`` says what is wrong with its entry."""
    found = list(dict.fromkeys(_installed()))
    return sorted((_unique(one, found) for one in found), key=lambda one: (one.name, one.origin))


def _unique(info: PluginInfo, found: list[PluginInfo]) -> PluginInfo:
    others = [one for one in found if one.name == info.name and one != info]
    if not others or info.problem is not None:
        return info
    named = ", ".join(f"{one.origin} ({one.value})" for one in others)
    problem = (
        f"the name {repr_of(info.name)} is also that of {named}; uninstall or rename one of them"
    )
    return replace(info, problem=problem)


def _installed() -> Iterator[PluginInfo]:
    seen = set()
    for distribution in metadata.distributions():
        try:
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name = distribution.metadata["Name"] or "(unnamed)"
            key = re.sub(r"[-_.]+", "-", name).lower()
            if key in seen:
                continue  # an older one further down the path, which no import would find
            seen.add(key)
            text = distribution.read_text("entry_points.txt") or ""
            version = str(distribution.metadata["Version"] or "")
        except Exception as error:
            # Whatever the metadata of a foreign distribution does to its reader.
            problem = f"its metadata cannot be read: {described(error)}"
            yield PluginInfo("?", _folder(distribution), problem=problem)
            continue
        for line in _lines(text):
            yield _parse(line, name, version)


def _folder(distribution: metadata.Distribution) -> str:
    try:
        return str(distribution.locate_file(""))
    except Exception:
        return "(unnamed)"


def _lines(text: str) -> Iterator[str]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == GROUP and line and line[0] not in "#;":
            yield line


def _parse(line: str, distribution: str, version: str) -> PluginInfo:
    name, _, value = (part.strip() for part in line.partition("="))
    info = PluginInfo(name, distribution, version, value)
    if _NAME.fullmatch(name) and _VALUE.fullmatch(value):
        return info
    return replace(
        info, problem=f"its entry point {repr_of(line)} must be like 'name = module:Class'"
    )
