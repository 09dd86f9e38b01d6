"""Problems of one scope as one message: how many, of which texts, and where. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from flamepy_notify.facts import Fact
from flamepy_notify.texts import pattern

TEXTS = 5  # different texts that a message names
PLACES = 3  # tasks that it names of each text


def scope_of(fact: Fact, group_by: str) -> str:
    """Return the name of what a fact is grouped with: an application, a session, or everything."""
    if group_by == "none":
        return "*"
    return (
        f"{fact.application}, session {fact.session}" if group_by == "session" else fact.application
    )


def families(problems: Iterable[Fact]) -> list[tuple[str, list[Fact]]]:
    """Return problems by text, the most frequent first; texts that differ in numbers are one."""
    found: dict[str, list[Fact]] = {}
    for one in problems:
        found.setdefault(pattern(one.text), []).append(one)
    named = [
        (of[0].text if len({one.text for one in of}) == 1 else common, of)
        for common, of in found.items()
    ]
    return sorted(named, key=lambda one: -len(one[1]))


def summary(problems: Sequence[Fact]) -> str:
    """Return ``"disk full (35), timeout (2)"``."""
    every = families(problems)
    parts = [f"{text} ({len(of)})" for text, of in every[:TEXTS]]
    rest = every[TEXTS:]
    if rest:
        number = sum(len(of) for _, of in rest)
        parts.append(f"{len(rest)} other text{'s' if len(rest) > 1 else ''} ({number})")
    return ", ".join(parts)


def details(problems: Sequence[Fact]) -> str:
    """Return a line for each text: how often, and in which tasks."""
    return "\n".join(f"{len(of)} × {text}: {places(of)}" for text, of in families(problems)[:TEXTS])


def places(problems: Sequence[Fact]) -> str:
    """Return ``"s1/4, s1/5, s2/1 and 32 others"``."""
    every = list(dict.fromkeys(one.place for one in problems))
    text = ", ".join(every[:PLACES])
    others = len(every) - PLACES
    return text if others <= 0 else f"{text} and {others} other{'s' if others > 1 else ''}"


def fields(problems: Sequence[Fact], *, scope: str) -> dict[str, str]:
    """Return the values of a template's fields for problems of one kind and scope."""
    number = len(problems)
    applications = Counter(one.application for one in problems)
    first, last = min(one.at for one in problems), max(one.at for one in problems)
    return {
        "count": str(number),
        "tasks": noun(problems),
        "scope": _named(scope, applications),
        "applications": ", ".join(sorted(applications)),
        "summary": summary(problems),
        "details": details(problems),
        "first": clock(first),
        "last": clock(last),
        "duration": duration((last - first).total_seconds()),
    }


def noun(problems: Sequence[Fact]) -> str:
    """Return ``task``, ``tasks``, ``session`` or ``sessions``, as the number and kind need it."""
    word = "task" if all(one.task for one in problems) else "session"
    return word if len(problems) == 1 else word + "s"


def clock(moment: datetime) -> str:
    """Return a time as messages show it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _named(scope: str, applications: Counter[str]) -> str:
    if scope != "*":
        return scope
    return (
        next(iter(applications)) if len(applications) == 1 else f"{len(applications)} applications"
    )


def duration(seconds: float) -> str:
    """Return ``"2 h 14 min"``, ``"14 min"`` or ``"50 s"``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
