"""The public API is what ``public_api.txt`` says: no name or signature changes unnoticed."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("public_api.txt")
PROGRAM = runpy.run_path(str(ROOT / "scripts" / "print_public_api.py"))
HOW = """the public API changed:
{changes}
If that is intended, run .venv/bin/python scripts/print_public_api.py and commit
tests/meta/public_api.txt, with a line in CHANGELOG.md. Names that go away are deprecated first:
docs/releases.md."""

public_api: Callable[[Path], list[str]] = PROGRAM["public_api"]


def changes(before: list[str], after: list[str]) -> str:
    gone = [f"- {line}" for line in before if line not in set(after)]
    new = [f"+ {line}" for line in after if line not in set(before)]
    return "\n".join([*gone, *new])


def test_the_public_api_is_that_of_the_snapshot() -> None:
    changed = changes(SNAPSHOT.read_text().splitlines(), public_api(ROOT / "src"))
    assert not changed, HOW.format(changes=changed)


def test_a_field_and_a_parameter_that_change_show(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    for file, before, after in (
        ("types.py", "    creation_time: datetime\n", "    created: datetime\n"),
        ("core/client.py", "def open_session(\n    session_id", "def open_session(\n    id"),
    ):
        path = tmp_path / "src" / "flamepy" / file
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))
    shown = changes(SNAPSHOT.read_text().splitlines(), public_api(tmp_path / "src"))
    assert "- flamepy.types.Task.creation_time: datetime" in shown
    assert "+ flamepy.types.Task.created: datetime" in shown
    assert "+ flamepy.core.client.open_session(id: str" in shown
