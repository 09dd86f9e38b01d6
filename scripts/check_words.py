"""Check that sources and documents use the field's terms.

Fails on the words of ``RULES``, each with what to write instead. ``ALLOWED`` has the places where
such a word is right, each with the reason. ``words_left.txt`` has how many are still to be replaced
in each file: a file may have fewer, never more. ``--shrink`` writes today's lower counts into it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT = Path("scripts/words_left.txt")
FOLDERS = ("src", "docs", "plugins", "examples")
FILES = ("README.md",)
KINDS = (".py", ".md", ".go", ".rs", ".toml", ".yaml")
SKIPPED = ("/_proto/", "/build/", "/dist/", ".egg-info/", "/target/")

# Whole words, of any case; a space stands for any white space, so for a line's end, too. "holds" is
# not here: it is the usual verb for locks and data.
RULES = {
    "take in|takes in": "record, handle, add",
    "told|tells": "receives, is notified, reports, returns",
    "who waits|who asks": "waiters, callers",
    "whoever": "name who: the caller, its writer, every program that ...",
    "nobody|everybody": "no caller, no subscriber, every subscriber",
    "the many": "name the quantity",
    "so many|as many as": "name the quantity",
    "of late": "recently",
    "by the handful": "in batches",
    "behind": "after, late by",
    "under way": "in flight, in progress, running",
    "comes? to be|came to be": "becomes",
    "(?-i:is none)|(?-i:has none)|no other one": "is not one, has no ..., no second ...",
    "engines? of constants": "a stub engine",
    "behalf": "in the background",
    "gives? up": "times out, stops",
    "lets? go": "releases, closes",
    "goes on": "continues",
    "being told|asking instead": "receiving events, querying state",
}

# By file: the text around a right use, and why it is right. The text allows what it contains.
ALLOWED: dict[str, dict[str, str]] = {
    "src/flamepy/informers/signals.py": {
        "``told``": "the public argument of task_drift",
        'delivered one", "told")': "the same",
    },
    "src/flamepy/informers/delivery/inbox.py": {
        "def drift(self, event: TaskEvent, told: TaskState)": "the signal's argument, and ...",
        '{"event": event, "told": told}': "the same",
    },
    "src/flamepy/rpc/transport/http_status.py": {
        "the engine behind it does not": "a proxy's upstream is behind it",
    },
    "src/flamepy/informers/checkpoint/tables.py": {
        "told TEXT": "a column of the file's format",
        "application, told, retired": "the same column",
        "SET told =": "the same column",
        "told = NULL": "the same column",
    },
    "docs/architecture.md": {"has none of the parent's connections": "a plain negation"},
    "plugins/flamepy-sql/tests/sql_servers.py": {'"nobody"': "the system's user"},
    "docs/proxies.md": {"no change behind any of them": "a proxy's upstream is behind it"},
    "docs/retry.md": {"an engine that lives, behind a proxy": "a proxy's upstream is behind it"},
    "docs/reference/signals.md": {"`event`, `told`": "the same argument"},
    "docs/runner.md": {"has none of the three": "a plain negation"},
}


def _compiled(words: str) -> re.Pattern[str]:
    gap = r"(?:\s|^[ \t]*(?:#|//[/!]?)[ \t])+"
    return re.compile(rf"\b(?:{words.replace(' ', gap)})\b", re.IGNORECASE | re.MULTILINE)


PATTERNS = [(_compiled(words), instead) for words, instead in RULES.items()]


def files(root: Path) -> Iterator[Path]:
    """Yield the files that are checked."""
    yield from (root / name for name in FILES if (root / name).is_file())
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix in KINDS and not any(part in f"/{name}" for part in SKIPPED):
                yield path


def found(text: str, allowed: dict[str, str]) -> list[str]:
    """Return a line for each word of ``RULES`` in a text, outside of its allowed uses."""
    right = [
        (one.start(), one.end()) for use in allowed for one in re.finditer(re.escape(use), text)
    ]
    hits = [
        (hit.start(), f"{' '.join(hit.group().split())!r}: write {instead}")
        for pattern, instead in PATTERNS
        for hit in pattern.finditer(text)
        if not any(begin <= hit.start() and hit.end() <= end for begin, end in right)
    ]
    return [f"{text.count(chr(10), 0, place) + 1}: {what}" for place, what in sorted(hits)]


def counts(root: Path) -> dict[str, int]:
    """Return how many words each file may still have."""
    path = root / LEFT
    rows = path.read_text().splitlines() if path.is_file() else []
    return {name: int(number) for number, name in (row.split(maxsplit=1) for row in rows)}


def check(root: Path) -> list[str]:
    """Return what is wrong, a line each: words, and allowed uses that no file has."""
    left, wrong = counts(root), []
    for path in files(root):
        name, text = path.relative_to(root).as_posix(), path.read_text()
        allowed = ALLOWED.get(name, {})
        wrong += [
            f"{name}: ALLOWED has {use!r}, which is gone" for use in allowed if use not in text
        ]
        hits, most = found(text, allowed), left.get(name, 0)
        if len(hits) > most:
            if most:
                wrong.append(f"{name}: {len(hits)} words, {most} are allowed:")
            wrong += [f"{name}:{hit}" for hit in hits]
    return wrong


def shrink(root: Path) -> int:
    """Lower the counts to today's, never raise one; return their sum."""
    left, rows = counts(root), {}
    for path in files(root):
        name = path.relative_to(root).as_posix()
        number = min(left.get(name, 0), len(found(path.read_text(), ALLOWED.get(name, {}))))
        if number:
            rows[name] = number
    (root / LEFT).write_text("".join(f"{number} {name}\n" for name, number in sorted(rows.items())))
    return sum(rows.values())


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Check, or with ``--shrink`` lower the counts; return the exit status."""
    if arguments == ["--shrink"]:
        print(f"words: {shrink(root)} left")
        return 0
    wrong = check(root)
    print("\n".join(wrong) if wrong else f"words: ok, {sum(counts(root).values())} may be left")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
