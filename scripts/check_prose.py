"""Check the prose of README.md and docs: words that add nothing, repeated words, common mistakes.

``VOCABULARY`` has our words, each with what to write instead; the rest are checks of proselint, of
which ``CHECKS`` names those that are used. Code, addresses and HTML are left out: they are no
prose. ``ALLOWED`` has the places where such words are right, each with the reason. Needs no
network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from proselint.checks import __register__ as ALL_CHECKS
from proselint.config import Config
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

ROOT = Path(__file__).resolve().parent.parent

# Whole words, of any case; a space stands for any white space, so for a line's end, too.
VOCABULARY = {
    "simply|obviously|of course|needless to say|clearly": "nothing: not each reader sees it",
    "easy|easily|trivial|trivially|straightforward|effortless|painless": "what it takes",
    "just": "nothing, or only",
    "please|feel free|don't worry|as you can see": "nothing",
    "a lot of|lots of|tons of|a couple of": "how many",
    "under the hood|out of the box": "what does it, or without what",
    "very|really|actually|basically|literally|quite|extremely|totally": "nothing, or a number",
    "powerful|seamless|seamlessly|blazing|world-class|state-of-the-art": "what it does",
    "in order to|so as to": "to",
    "due to the fact that": "because",
    "in the event that": "if",
    "at this point in time": "now",
    "utili[sz]es?|leverages?": "use",
    "note that|it should be noted|it is important to": "nothing: say it",
    "and/or": "or; `a, b or both`",
    "as mentioned|as described above|see above|see below": "a link",
    "we will|let us|let's": "the imperative",
}
SHOUT = re.compile(r"\w!(?=\s|$|[)\"'])")

# Of https://github.com/amperser/proselint; not those of taste or of typography: code has straight
# quotation marks, and three dots.
CHECKS = (
    *("cliches", "hedging", "lexical_illusions", "malapropisms", "mondegreens"),
    *("needless_variants", "nonwords", "oxymorons", "redundancy", "spelling", "uncomparables"),
    *("industrial_language.corporate_speak", "industrial_language.commercialese"),
    *("misc.apologizing", "misc.back_formations", "misc.debased", "misc.false_plurals"),
    *("misc.many_a", "misc.metadiscourse", "misc.phrasal_adjectives", "misc.pretension"),
    *("misc.tense_present", "social_awareness"),
)

# By file: the text around a right use, and why it is right. The text allows what it contains.
ALLOWED: dict[str, dict[str, str]] = {
    "docs/cluster.md": {"first broken record": "a record of a file, which is broken"},
}

# What is no prose. It becomes dots, so that places stay and no words are repeated by its absence.
NOT_PROSE = (
    re.compile(r"\A---\n.*?\n---\n", re.DOTALL),  # front matter
    re.compile(r"^( *)(```+|~~~+).*?^\1\2[ \t]*$", re.DOTALL | re.MULTILINE),  # a block of code
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"<(script|style|svg|pre|code)\b.*?</\1>", re.DOTALL),
    re.compile(r"<[/a-zA-Z][^<>]*>"),
    re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL),  # code in a line
    re.compile(r"(?<=\])\([^()\s]*(?: \"[^\"]*\")?\)"),  # the address of a link
    re.compile(r"^\[[^\]]+\]: .*$", re.MULTILINE),
    re.compile(r"\bhttps?://\S+"),
    re.compile(r"^!!!.*$", re.MULTILINE),
)


def prose(text: str) -> str:
    """Return a Markdown text with all that is no prose as dots; every place stays."""
    for pattern in NOT_PROSE:
        text = pattern.sub(lambda hit: re.sub(r"[^\n]", "·", hit.group()), text)
    return text


def _compiled(words: str) -> re.Pattern[str]:
    spaced = words.replace(" ", r"\s+")
    return re.compile(rf"(?<![\w-])(?:{spaced})(?![\w-])", re.IGNORECASE)


PATTERNS = [(_compiled(words), instead) for words, instead in VOCABULARY.items()]
CONFIG = Config(max_errors=1000, checks=dict.fromkeys(CHECKS, True))
CheckRegistry().register_many(ALL_CHECKS)


def found(text: str, allowed: dict[str, str]) -> list[str]:
    """Return a line for each fault of a Markdown text, outside of its allowed uses."""
    right = [
        (one.start(), one.end()) for use in allowed for one in re.finditer(re.escape(use), text)
    ]
    hits = [
        (begin, what)
        for begin, end, what in _hits(prose(text))
        if not any(start <= begin and end <= stop for start, stop in right)
    ]
    return [f"{text.count(chr(10), 0, place) + 1}: {what}" for place, what in sorted(hits)]


def _hits(text: str) -> Iterator[tuple[int, int, str]]:
    for pattern, instead in PATTERNS:
        for hit in pattern.finditer(text):
            yield hit.start(), hit.end(), f"{' '.join(hit.group().split())!r}: write {instead}"
    for hit in SHOUT.finditer(text):
        yield hit.start(), hit.end(), f"{hit.group()!r}: write a full stop"
    for one in LintFile("text", text).lint(CONFIG):
        result = one.check_result
        begin, end = (place - 1 for place in result.span)  # it puts a line's end before the text
        if not re.search(r"\n\s*\n", text[begin:end]):  # words of two paragraphs are no repetition
            yield begin, end, f"{result.message} ({result.check_path})"


def check(root: Path) -> list[str]:
    """Return what is wrong, a line each: faults, and allowed uses that no file has."""
    wrong = []
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        name, text = path.relative_to(root).as_posix(), path.read_text()
        allowed = ALLOWED.get(name, {})
        wrong += [
            f"{name}: ALLOWED has {use!r}, which is gone" for use in allowed if use not in text
        ]
        wrong += [f"{name}:{hit}" for hit in found(text, allowed)]
    return wrong


def main(root: Path = ROOT) -> int:
    """Check, and return the exit status."""
    wrong = check(root)
    print("\n".join(wrong) if wrong else "prose: ok")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
