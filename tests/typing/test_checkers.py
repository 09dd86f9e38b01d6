"""Users' programs, and every program of the documents, pass mypy and pyright at their strictest.

pyright comes as ``basedpyright``, which is the same checker: its wheel holds the program and brings
Node.js as a wheel, while ``pyright`` from PyPI downloads both from elsewhere at its first run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
MISTAKES = "mistakes"
DOCUMENTS = [
    path
    for folder in (
        *(
            ROOT,
            ROOT / "docs",
            *sorted(path for path in (ROOT / "docs").iterdir() if path.is_dir()),
        ),
        *sorted((ROOT / "plugins").iterdir()),
    )
    for path in sorted(folder.glob("*.md"))
]
# As if they were installed.
PLUGINS = [*sorted((ROOT / "plugins").glob("*/src")), Path(__file__).parent / "stand_ins"]
BLOCK = re.compile(r"^```python(?: title=[^\n]*)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
OLDEST = "3.10"

pytestmark = pytest.mark.timeout(300)


def programs() -> dict[str, str]:
    """Return every program, by the name of its file."""
    found = {path.name: path.read_text() for path in PROGRAMS}
    for path in DOCUMENTS:
        for number, block in enumerate(BLOCK.findall(path.read_text())):
            place = "_".join(path.relative_to(ROOT).with_suffix("").parts).replace("-", "_")
            found[f"{place.lower()}_{number}.py"] = block
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("programs")
    for name, text in programs().items():
        (made / name).write_text(text)
    config = {
        "typeCheckingMode": "strict",
        "pythonVersion": OLDEST,
        "extraPaths": [str(path) for path in PLUGINS],
        "reportMissingModuleSource": False,  # of the stand-ins
    }
    (made / "pyrightconfig.json").write_text(json.dumps(config))
    return made


Found = dict[tuple[str, int], str]  # what a checker says, by file and line


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, PLUGINS))},
        timeout=280,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@cache
def mypy(folder: Path) -> Found:
    names = sorted(path.name for path in folder.glob("*.py"))
    # One at a time they are scripts: each has its own classes of one name.
    output = run(folder, "mypy", "--strict", "--python-version", OLDEST, *names)
    lines = re.findall(r"^(\S+?):(\d+): error: (.*)$", output, re.MULTILINE)
    return {(name, int(line)): text for name, line, text in lines}


@cache
def pyright(folder: Path) -> Found:
    said = json.loads(run(folder, "basedpyright", "--pythonpath", sys.executable, "--outputjson"))
    assert said["summary"]["filesAnalyzed"] == len(programs())
    return {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1): one["message"]
        for one in said["generalDiagnostics"]
    }


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
@pytest.mark.parametrize("name", [name for name in programs() if MISTAKES not in name])
def test_a_program_passes(checker: object, name: str, folder: Path) -> None:
    assert callable(checker)
    found: Found = checker(folder)
    assert not {place: text for place, text in found.items() if place[0] == name}


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_each_mistake_is_found_and_nothing_else(checker: object, folder: Path) -> None:
    assert callable(checker)
    found: Found = checker(folder)
    name = f"{MISTAKES}.py"
    wrong = {
        number
        for number, line in enumerate(programs()[name].splitlines(), 1)
        if line.endswith("# wrong")
    }
    assert len(wrong) > 10
    assert {line for place, line in found if place == name} == wrong


def test_every_document_is_looked_at() -> None:
    blocks = [name for name in programs() if name.startswith(("readme_", "docs_", "plugins_"))]
    assert len(blocks) == sum(path.read_text().count("```python") for path in DOCUMENTS) > 15
