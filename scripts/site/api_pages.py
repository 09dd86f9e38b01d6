"""The reference's pages: one for each public module, with every public name.

A name is described on one page, its home; other modules that export it link there. Reads the
source without importing it.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"

# In this order they are looked at for the home of a name that is defined in a room inside.
PUBLIC_MODULES = (
    "flamepy.errors",
    "flamepy.types",
    "flamepy.config",
    "flamepy.informers",
    "flamepy.informers.expect",
    "flamepy.informers.predicates",
    "flamepy.informers.signals",
    "flamepy.aio",
    "flamepy.core",
    "flamepy.core.aio",
    "flamepy.core.cache",
    "flamepy.core.client",
    "flamepy.core.service",
    "flamepy.core.types",
    "flamepy.service",
    "flamepy.runner",
    "flamepy.tools",
    "flamepy.cache",
    "flamepy.local",
    "flamepy.testing",
    "flamepy.recording",
    "flamepy.dashboard",
    "flamepy.view",
    "flamepy.util",
    "flamepy.proto",
    "flamepy",
)


def file_of(module: str) -> Path | None:
    """Return the file of a module, None if there is no such module."""
    place = SOURCE.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def tree_of(module: str) -> ast.Module:
    """Return the parsed source of a module."""
    path = file_of(module)
    if path is None:
        raise SystemExit(f"no module {module} under {SOURCE}")
    return ast.parse(path.read_text(encoding="utf-8"))


def public_names(module: str) -> list[str]:
    """Return ``__all__``, or the names without an underscore that a module defines."""
    body = tree_of(module).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    found = [name for node in body for name in defined_by(node)]
    # "from x import Name as Name" exports a name, too.
    found += [one.asname for one in imported(module) if one.asname and one.asname == one.name]
    return sorted({name for name in found if not name.startswith("_")} - {"T", "F", "R", "S"})


def defined_by(node: ast.stmt) -> list[str]:
    """Return the names that a statement defines."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [one.id for one in node.targets if isinstance(one, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def imported(module: str) -> list[ast.alias]:
    """Return what a module imports by ``from ... import``."""
    found = [one for one in ast.walk(tree_of(module)) if isinstance(one, ast.ImportFrom)]
    return [alias for one in found for alias in one.names]


def definition(module: str, name: str) -> tuple[str, str]:
    """Return the module and the name that define an exported name; a module's name is empty."""
    for node in tree_of(module).body:
        if name in defined_by(node):
            return module, name
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("flamepy"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    inside = f"{node.module}.{alias.name}"
                    if file_of(inside) is not None:
                        return inside, ""
                    if file_of(node.module) is None:  # generated messages
                        return node.module, alias.name
                    return definition(node.module, alias.name)
    if file_of(f"{module}.{name}") is not None:
        return f"{module}.{name}", ""
    raise SystemExit(f"{module} exports {name}, which it neither defines nor imports")


def homes() -> dict[tuple[str, str], str]:
    """Return for each definition the public module whose page describes it."""
    found: dict[tuple[str, str], str] = {}
    for module in PUBLIC_MODULES:  # who defines it, first
        for name in public_names(module):
            place = definition(module, name)
            if place[0] == module:
                found[place] = module
    for module in PUBLIC_MODULES:
        for name in public_names(module):
            place = definition(module, name)
            if place[1] and place not in found:
                found[place] = module
    return found


def anchor(module: str, name: str) -> str:
    """Return the place of a name on its page; a module of the same name hides it at its package."""
    hidden = file_of(f"{module}.{name}") is not None
    return f"{module}.{name}.{name}" if hidden else f"{module}.{name}"


def page(module: str, where: dict[tuple[str, str], str]) -> str:
    """Return the page of a module."""
    own, others, hidden = [], [], []
    for name in sorted(public_names(module), key=str.lower):
        place = definition(module, name)
        if not place[1]:
            others.append(f"| `{name}` | module [`{place[0]}`]({place[0]}.md) |")
        elif where[place] != module:
            others.append(f"| `{name}` | [`{where[place]}.{name}`]({where[place]}.md) |")
        elif anchor(module, name) != f"{module}.{name}":
            shown = "    options:\n      show_root_heading: true\n"
            hidden.append(f"::: {anchor(module, name)}\n{shown}\n")
        else:
            own.append(name)
    members = "".join(f"\n        - {name}" for name in own) or " []"
    text = f"# `{module}`\n\n::: {module}\n    options:\n      members:{members}\n\n"
    text += "\n".join(hidden)
    if others:
        rows = "\n".join(["| name | is |", "|---|---|", *others])
        text += f"## Names from elsewhere\n\n{rows}\n"
    return text


def pages() -> dict[str, str]:
    """Return the text of every page by module."""
    where = homes()
    made = {module: page(module, where) for module in PUBLIC_MODULES}
    for module in PUBLIC_MODULES:  # a module that is a public name has a page
        for name in public_names(module):
            inside, defined = definition(module, name)
            if not defined and inside not in made:
                made[inside] = f"# `{inside}`\n\nThe messages of the wire: `protos/flame/v1`.\n"
    return made


def expected_anchors() -> list[str]:
    """Return the place of every public name, which the built site must have."""
    where = homes()
    places = {
        anchor(module, name)
        for module in PUBLIC_MODULES
        for name in public_names(module)
        if where.get(definition(module, name)) == module
    }
    return sorted(places)
