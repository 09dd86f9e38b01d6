"""Write ``tests/meta/public_api.txt``: every public name with its signature, a line each.

``tests/meta/test_public_api.py`` compares the file with the source, so that no public name
changes unnoticed. griffe reads the source without importing it. Run this after an intended
change, and read the difference.
"""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = ROOT / "tests" / "meta" / "public_api.txt"
SOURCE = ROOT / "src"
API = runpy.run_path(str(ROOT / "scripts" / "site" / "api_pages.py"))
CALLED = (
    "__call__",
    "__getitem__",
    "__iter__",
    "__aiter__",
    "__await__",
    "__enter__",
    "__aenter__",
)


def main() -> int:
    """Write the file; print what is new and what is gone."""
    before = SNAPSHOT.read_text(encoding="utf-8").splitlines() if SNAPSHOT.exists() else []
    after = public_api(SOURCE)
    SNAPSHOT.write_text("".join(f"{line}\n" for line in after), encoding="utf-8")
    for sign, lines in (("-", set(before) - set(after)), ("+", set(after) - set(before))):
        for line in sorted(lines):
            print(sign, line)
    return 0


def public_api(source: Path) -> list[str]:
    """Return the lines of every public module."""
    package = griffe.load("flamepy", search_paths=[source], allow_inspection=False)
    assert isinstance(package, griffe.Module)
    homes = API["homes"]()
    return [
        line for module in sorted(API["PUBLIC_MODULES"]) for line in names(package, module, homes)
    ]


def names(package: griffe.Module, module: str, homes: dict[tuple[str, str], str]) -> Iterator[str]:
    """Yield the lines of a module's public names."""
    described = {f"{defined_in}.{name}" for defined_in, name in homes}
    for name in sorted(API["public_names"](module)):
        defined_in, defined_as = API["definition"](module, name)
        path = f"{module}.{name}"
        home = homes.get((defined_in, defined_as))
        if not defined_as:
            yield f"{path}: module"
        elif home != module:
            yield f"{path} = {home or defined_in}.{defined_as}"
        else:
            inside = f"{defined_in}.{defined_as}".removeprefix("flamepy.")
            yield from lines_of(package[inside], path, described)


def lines_of(it: griffe.Object | griffe.Alias, path: str, described: set[str]) -> Iterator[str]:
    """Yield the line of a name, then those of a class's public members.

    Members that a class has from a public one, which ``described`` names, are in the lines of that.
    """
    if it.is_function:
        prefix = "async " if "async" in it.labels else ""
        for one in [*(it.overloads or ()), it]:
            yield f"{prefix}{path}{signature(one)}"
    elif it.is_attribute:
        yield f"{path}{attribute(it)}"
    elif it.is_class:
        bases = ", ".join(str(base) for base in it.bases)
        yield f"class {path}({bases})"
        members = it.all_members
        if "__init__" in members:
            yield f"{path}{signature(members['__init__'], returns=False)}"
        for name in sorted(members):
            member = members[name]
            owner = member.target.parent if member.is_alias and member.inherited else None
            elsewhere = owner is not None and owner.path in described
            if not elsewhere and (not name.startswith("_") or name in CALLED):
                yield from lines_of(member, f"{path}.{name}", described)


def attribute(it: griffe.Object | griffe.Alias) -> str:
    """Return an attribute's type, its signature if it wraps a method, or its value if literal."""
    if it.annotation is not None:
        return f": {it.annotation}"
    if isinstance(it.value, griffe.ExprCall):
        return wrapped(it.value, it.package)
    return f" = {it.value}" if is_plain(str(it.value)) else ""


def wrapped(call: griffe.ExprCall, package: griffe.Module) -> str:
    """Return the signature of the function that a call wraps, its last argument; else nothing."""
    is_class = str(call.function)[:1].isupper()
    last = call.arguments[-1] if call.arguments and not is_class else None
    inside = getattr(last, "canonical_path", "").removeprefix("flamepy.")
    try:
        found = package[inside]
    except (KeyError, ValueError):  # of another package; no name
        return ""
    return signature(found) if found.is_function else ""


def is_plain(value: str) -> bool:
    """Return True for a literal, or the dotted name of a value."""
    if re.fullmatch(r"[A-Za-z_][\w.]*", value):
        return value != "None"
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return False
    return True


def signature(function: griffe.Object | griffe.Alias, *, returns: bool = True) -> str:
    """Return the parameters as a definition writes them, and the type of what comes back."""
    return str(function.signature(return_type=returns)).removeprefix(function.name)


if __name__ == "__main__":
    sys.exit(main())
