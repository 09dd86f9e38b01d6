"""Each of the 35 faults that are promised to be survived has one test, named after its number."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
FAULTS = 35
PREFIX = "test_fault_"


def test_each_fault_has_one_test_of_its_number() -> None:
    found: Counter[int] = Counter()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIX):
                number, _, promise = node.name.removeprefix(PREFIX).partition("_")
                assert promise.count("_") >= 3, f"{node.name} says no promise"
                found[int(number)] += 1
    assert found == dict.fromkeys(range(1, FAULTS + 1), 1)
