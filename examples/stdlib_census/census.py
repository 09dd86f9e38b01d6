"""What is counted, shared by the service and by the client's check of the totals."""

from __future__ import annotations

import ast
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Census:
    """Functions, classes and lines of Python source."""

    functions: int = 0
    classes: int = 0
    lines: int = 0

    def __add__(self, other: Census) -> Census:
        return Census(
            self.functions + other.functions,
            self.classes + other.classes,
            self.lines + other.lines,
        )

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Census:
        return cls(**json.loads(data))


def count(path: Path) -> Census:
    """Parse a file and count; raises what the parser raises."""
    source = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in test data are not our business
        tree = ast.parse(source, filename=str(path))
    nodes = list(ast.walk(tree))
    return Census(
        functions=sum(isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) for n in nodes),
        classes=sum(isinstance(n, ast.ClassDef) for n in nodes),
        lines=len(source.splitlines()),
    )


def reason(error: Exception) -> str:
    """Say in one line why a file could not be counted."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
