"""docs/architecture.md names every room of the source; no path that is named is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "flamepy"
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
CLASS_OR_FUNCTION = {"service.run", "runtime.pools.DaemonPool"}
TITLES = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)
ROOMS = re.findall(r"^### ([^\n]*`[^\n]*)\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)


def exists(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_each_folder_of_the_source_has_a_paragraph() -> None:
    named = {room for title in TITLES for room in re.findall(r"`([^`]+)`", title)}
    folders = {path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("__init__.py")}
    assert named == folders - {"."}


def test_dotted_names_are_modules() -> None:
    names = set(re.findall(r"`([a-z_]+(?:\.\w+)+)`", TEXT)) - CLASS_OR_FUNCTION
    ours = {name for name in names if name.split(".")[0] in PACKAGES}
    assert len(ours) > 50
    missing = {name for name in ours if not exists(SOURCE / name.replace(".", "/"))}
    assert not missing


@pytest.mark.parametrize(("title", "text"), ROOMS, ids=[title for title, _ in ROOMS])
def test_plain_names_in_a_paragraph_are_modules_of_the_room_or_above(title: str, text: str) -> None:
    rooms = [SOURCE / room for room in re.findall(r"`([^`]+)`", title)]
    beside = {path.stem for path in SOURCE.iterdir()} | {path.name for path in rooms} | {"flamepy"}
    for name in re.findall(r"`([a-z_]+)`", text):
        assert name in beside or any(exists(room / name) for room in rooms), f"{title}: {name}"


def is_named_right(name: str) -> bool:
    """Return True if a dotted name leads to a module, or to a name of one."""
    place = SOURCE
    for part in name.split("."):
        if (place / part).is_dir():
            place /= part
        else:
            module = place / f"{part}.py"
            return module.is_file() or part in (place / "__init__.py").read_text()
    return True


@pytest.mark.parametrize("folder", sorted(PACKAGES))
def test_a_module_that_a_docstring_or_comment_names_exists(folder: str) -> None:
    for path in (SOURCE / folder).rglob("*.py"):
        for name in re.findall(r"``(?:flamepy\.)?([a-z_]+(?:\.[a-z_]+)+)", path.read_text()):
            if name.split(".")[0] in PACKAGES:
                assert is_named_right(name), f"{path.relative_to(SOURCE)}: {name}"
