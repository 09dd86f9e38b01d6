"""The documentation's site: every page is in it, every link leads inside, every name is described.

``make docs`` builds it, which needs packages of its own; what it is built from is checked here.
"""

from __future__ import annotations

import ast
import posixpath
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SITE = ROOT / "scripts" / "site"
SOURCE = ROOT / "src" / "flamepy"
API = runpy.run_path(str(SITE / "api_pages.py"))
DRAWINGS = runpy.run_path(str(SITE / "drawings.py"))
# Their names are for other rooms of this library.
INSIDE = ("rpc", "runtime", "watching", "informers.plugins", "testing.retries")
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    command = [sys.executable, str(SITE / "build.py"), "--pages", str(folder)]
    subprocess.run(command, check=True)
    return folder


def exporting_modules() -> set[str]:
    """Return the modules that say what they export, and those that the root names."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        inside = name.removeprefix("flamepy.").startswith(INSIDE)
        if re.search("^__all__", path.read_text(), re.MULTILINE) and not inside:
            found.add(name)
    listed = re.search(r"\[\n(?:        \"\w+\",\n)+    \]", (SOURCE / "__init__.py").read_text())
    assert listed is not None
    found |= {f"flamepy.{name}" for name in ast.literal_eval(listed[0])}
    return found


def test_every_public_module_has_a_page(pages: Path) -> None:
    missing = exporting_modules() - set(API["PUBLIC_MODULES"])
    assert not missing, "add them to PUBLIC_MODULES of scripts/site/api_pages.py"
    for module in API["PUBLIC_MODULES"]:
        assert (pages / "reference" / "api" / f"{module}.md").is_file()


def test_every_public_name_is_on_the_page_of_its_module(pages: Path) -> None:
    count = 0
    for module in API["PUBLIC_MODULES"]:
        text = (pages / "reference" / "api" / f"{module}.md").read_text()
        for name in API["public_names"](module):
            count += 1
            assert re.search(rf"^        - {name}$|`{name}`|\.{name}$", text, re.MULTILINE), name
    assert count > 400


def test_every_link_leads_to_a_page(pages: Path) -> None:
    for path in pages.rglob("*.md"):
        prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target, _ in LINK.findall(prose):
            if not target.startswith(("http", "mailto")):
                place = posixpath.normpath(f"{path.parent.as_posix()}/{target}")
                assert Path(place).is_file(), f"{path.relative_to(pages)}: {target}"


def test_every_document_is_in_the_navigation() -> None:
    text = (ROOT / "docs" / "site" / "mkdocs.yml").read_text()
    nav = str(yaml.safe_load(text)["nav"])
    for path in (ROOT / "docs").rglob("*.md"):
        place = path.relative_to(ROOT / "docs").as_posix()
        assert f"'{place}'" in nav, place


def test_a_drawing_shows_each_node_and_what_edges_say() -> None:
    drawn = DRAWINGS["svg"]('flowchart LR\n  a["first < one"] -- "then" --> b\n  a --> c')
    for text in ("first &lt; one", ">then<", ">b<", ">c<"):
        assert text in drawn
    assert drawn.count("<rect") == 3
    with pytest.raises(ValueError, match="not an edge"):
        DRAWINGS["svg"]("flowchart LR\n  a ==> b")
