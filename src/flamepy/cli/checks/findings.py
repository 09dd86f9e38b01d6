"""What a check of ``flamepy doctor`` or ``check-service`` found: one line, and what to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """How a check ended; FAILED makes the program's exit status 1."""

    OK = "ok"
    WARNING = "warn"
    FAILED = "FAIL"
    SKIPPED = "-"


COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; ``advice`` says what to do, and is empty when there is nothing to."""

    check: str
    verdict: Verdict
    says: str
    advice: str = ""

    def __str__(self) -> str:
        text = f"{self.says}; {self.advice}" if self.advice else self.says
        return f"{self.verdict.value:5}{self.check:14}{' '.join(text.split())}"


def passed(check: str, says: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, says)


def failed(check: str, says: str, advice: str) -> Finding:
    """Return what is wrong, and the way out."""
    return Finding(check, Verdict.FAILED, says, advice)


def warned(check: str, says: str, advice: str) -> Finding:
    """Return what may become a problem, and the way out."""
    return Finding(check, Verdict.WARNING, says, advice)


def skipped(check: str, says: str) -> Finding:
    """Return why the check could not be made, or is not needed."""
    return Finding(check, Verdict.SKIPPED, says)
