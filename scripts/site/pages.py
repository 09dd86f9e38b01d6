"""Collects the site's pages from the repository, with links that lead inside the site.

A link to a file that is no page, such as a source file, leads to a page that shows the file. A
paragraph that is nothing but such a link shows the file there as well.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import api_pages
import drawings

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
ALONE = re.compile(r"^\[[^\]]*\]\(([^)\s#]+)\)$")
LANGUAGES = {
    **{".py": "python", ".yaml": "yaml", ".toml": "toml", ".service": "ini", ".html": "html"},
    **{".rs": "rust", ".go": "go", ".sh": "bash", ".json": "json", ".ini": "ini"},
}
PICTURES = (".png", ".svg", ".gif")
DOCS = "docs/"


@dataclass
class Site:
    """The pages by their place in the site, and where each file of the repository is shown."""

    pages: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def collect() -> Site:
    """Return all pages, their links rewritten."""
    site = Site()
    sources: dict[str, str] = {}
    for path in sorted((ROOT / "docs").rglob("*.md")):
        inside = path.relative_to(ROOT).as_posix()
        sources[inside] = inside.removeprefix(DOCS)
    for folder in ("examples", "plugins"):
        for path in sorted((ROOT / folder).glob("*/README.md")):
            sources[path.relative_to(ROOT).as_posix()] = f"{folder}/{path.parent.name}.md"
            site.places[path.parent.relative_to(ROOT).as_posix()] = (
                f"{folder}/{path.parent.name}.md"
            )
    sources["examples/README.md"] = site.places["examples"] = "examples/index.md"
    sources["CONTRIBUTING.md"] = "project/contributing.md"
    sources["CHANGELOG.md"] = "project/changelog.md"
    sources["SECURITY.md"] = "project/security.md"
    site.places |= sources
    site.places["README.md"] = "index.md"
    for source, place in sources.items():
        site.pages[place] = page(site, source, place, (ROOT / source).read_text(encoding="utf-8"))
    for module, text in api_pages.pages().items():
        site.pages[f"reference/api/{module}.md"] = text
    site.pages["reference/api/index.md"] = index_of_api()
    return site


def page(site: Site, source: str, place: str, text: str) -> str:
    """Return a page's text with its links rewritten and its drawings drawn."""
    parts = []
    for at, part in enumerate(re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)):
        if at % 2:
            parts.append(drawing(part) if part.startswith("```mermaid") else part)
        else:
            parts.append(prose(site, source, place, part))
    return "".join(parts)


def drawing(block: str) -> str:
    """Return the drawing of a block of Mermaid."""
    inner = block.removeprefix("```mermaid").removesuffix("```")
    return f'<div class="drawing">{drawings.svg(inner)}</div>'


def prose(site: Site, source: str, place: str, text: str) -> str:
    """Return text between code blocks with its links rewritten, and files shown."""
    before = text.split("\n")
    after = LINK.sub(lambda found: link(site, source, place, found), text).split("\n")
    lines = []
    for line, rewritten in zip(before, after, strict=True):
        alone = ALONE.match(line)
        lines.append(rewritten)
        if alone is not None and not alone[1].startswith("http"):
            target = ROOT / posixpath.normpath(posixpath.join(posixpath.dirname(source), alone[1]))
            if target.is_file() and target.suffix in LANGUAGES:
                lines += ["", shown(target)]
    return "\n".join(lines)


def link(site: Site, source: str, place: str, found: re.Match[str]) -> str:
    """Return one link of a page, rewritten for the site."""
    picture, said, target, anchor = found.groups()
    if not target or target.startswith(("http:", "https:", "mailto:")):
        return found[0]
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    path = ROOT / inside
    if not path.exists():
        return found[0]  # a broken link, which the build reports
    if path.suffix in PICTURES:
        goal = inside.removeprefix(DOCS)
        site.files[goal] = path
    else:
        goal = site.places.get(inside) or show(site, inside)
    way = posixpath.relpath(goal, posixpath.dirname(place) or ".")
    return f"{picture}[{said}]({way}{anchor or ''})"


def show(site: Site, inside: str) -> str:
    """Add a page that shows a file or what is in a folder; return its place."""
    path = ROOT / inside
    place = site.places[inside] = f"source/{inside}.md"
    if path.is_file():
        body = shown(path)
    else:
        files = [one for one in sorted(path.iterdir()) if one.is_file()]
        body = "\n\n".join(f"## {one.name}\n\n{shown(one)}" for one in files if readable(one))
    site.pages[place] = f"# `{inside}`\n\n{body}\n"
    return place


def readable(path: Path) -> bool:
    """Return True if a file of a folder is text for people, and not too long for a page."""
    return (
        path.suffix not in (".md", ".pyc", ".lock", ".ipynb", *PICTURES)
        and path.stat().st_size < 40_000
    )


def shown(path: Path) -> str:
    """Return a file as a code block."""
    text = path.read_text(encoding="utf-8").rstrip()
    fence = "````" if "```" in text else "```"
    name = path.relative_to(ROOT).as_posix()
    return f'{fence}{LANGUAGES.get(path.suffix, "text")} title="{name}"\n{text}\n{fence}'


def index_of_api() -> str:
    """Return the page that lists the public modules with their first sentence."""
    rows = []
    for module in sorted(api_pages.PUBLIC_MODULES):
        says = (api_pages.ast.get_docstring(api_pages.tree_of(module)) or "").splitlines()[0]
        count = len(api_pages.public_names(module))
        rows.append(f"| [`{module}`]({module}.md) | {count} | {says.replace('``', '`')} |")
    table = "\n".join(["| module | names | what |", "|---|---|---|", *rows])
    return (
        "# Modules\n\nEvery public module and every public name, from the docstrings. What is not "
        f"here is not public and may change in any release.\n\n{table}\n"
    )


def write(site: Site, folder: Path) -> None:
    """Write the pages and pictures into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for place, text in site.pages.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for place, source in site.files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
