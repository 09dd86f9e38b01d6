"""What is wrong with a ``flame.yaml`` and the informers that it names, each with its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flamepy.config import FlameContext
from flamepy.config.schema.document import Document, Finding
from flamepy.config.schema.kinds import Place, Problem
from flamepy.errors import ConfigError
from flamepy.host.paths import expanded
from flamepy.texts import repr_of, text_of

if TYPE_CHECKING:
    from flamepy.informers.plugins.loading import PluginInfo


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What was found in a file.

    Attributes:
        findings: what is wrong, in the order of the lines.
        plugins: the informers of the chosen context and the installed plugins; none if the file
            cannot be used.
    """

    findings: list[Finding]
    plugins: list[PluginInfo]


def check_file(path: str, context: str | None, *, checkpoint: bool = False) -> CheckedFile:
    """Check a file, and make the informers of its context with their options.

    Args:
        path: the file.
        context: which context; None for the file's current one.
        checkpoint: the reactor has one, even if the file names none.

    Raises:
        ConfigError: the file cannot be read.
    """
    from flamepy.informers.plugins.loading import check_plugins

    document = Document(_read(path))
    findings = document.findings()
    plugins: list[PluginInfo] = []
    if not findings:
        try:
            settings = FlameContext(context=context, config_file=path)
            plugins = check_plugins(context=settings, checkpoint=checkpoint)
        except ConfigError as error:
            findings = [Finding(0, 0, "", error.message.removeprefix(f"{path}: "))]
    findings += [document.finding(one) for one in _of_plugins(document, plugins, context)]
    return CheckedFile(sorted(findings, key=lambda one: (one.line, one.column)), plugins)


def _read(path: str) -> str:
    try:
        return expanded(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or text_of(error)
        raise ConfigError(f"{path}: cannot be read: {why}") from None


def _of_plugins(
    document: Document, plugins: list[PluginInfo], context: str | None
) -> Iterator[Problem]:
    """Yield what is wrong with the informers of a context, at their entries."""
    problems = {one.name: one.problem for one in plugins if one.enabled and one.problem}
    if not problems:
        return
    chosen = context or document.value["current-context"]
    for index, one in enumerate(document.value["contexts"]):
        entries = one.get("informers") or [] if one.get("name") == chosen else []
        for number, entry in enumerate(entries):
            name = entry if isinstance(entry, str) else entry["name"]
            problem = problems.get(name.strip())
            if problem is not None:
                place = ("contexts", index, "informers", number)
                key = _key(entry, problem)
                yield Problem((*place, *key), problem, of_key=bool(key))


def _key(entry: Any, problem: str) -> Place:
    """Return the key of an entry that a problem is about. Any: a name, or a mapping."""
    if not isinstance(entry, dict):
        return ()
    said = problem.rpartition(" raised ")[2].partition(": ")[2].split()
    for name in entry.get("options") or {}:
        if repr_of(name) in problem or f".options.{name} " in problem or said[:1] == [name]:
            return ("options", name)
    first = problem.partition(" ")[0].partition("=")[0].rstrip(":")
    if first in entry:
        return (first,)
    return ("plugin",) if "plugin" in entry else ("name",)
