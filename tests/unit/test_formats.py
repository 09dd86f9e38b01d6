"""A file of an older format becomes one of today's, or stays what it was, whenever it is cut."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flamepy import formats
from flamepy.formats import NewerFormat, folder_format, migrate_database, open_folder

STEPS = {
    1: lambda database: database.execute("ALTER TABLE notes ADD COLUMN author TEXT"),
    2: lambda database: database.execute("UPDATE notes SET author = 'nobody'"),
}


def made(path: Path, *, wal: bool = True, number: int = 1) -> Path:
    """Make a database whose last change is in its log only, as a kill leaves it."""
    code = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        f"database.execute('PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}')\n"
        f"database.execute('PRAGMA user_version = {number}')\n"
        "database.execute('CREATE TABLE notes (text)')\n"
        "database.execute(\"INSERT INTO notes VALUES ('kept')\")\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert path.with_name(f"{path.name}-wal").exists() == wal
    return path


def content(path: Path) -> tuple[int, list[tuple[str, ...]]]:
    database = sqlite3.connect(path)
    try:
        number = database.execute("PRAGMA user_version").fetchone()[0]
        return number, database.execute("SELECT * FROM notes").fetchall()
    finally:
        database.close()


@pytest.mark.parametrize("wal", [True, False])
def test_a_database_goes_through_every_step_and_its_old_file_stays(
    tmp_path: Path, wal: bool
) -> None:
    path = made(tmp_path / "a.db", wal=wal)
    migrate_database(path, STEPS, 3)
    assert content(path) == (3, [("kept", "nobody")])
    kept = tmp_path / "a.db.v1.bak"
    assert content(kept) == (1, [("kept",)])
    assert kept.stat().st_mode & 0o077 == 0
    assert int.from_bytes(path.read_bytes()[60:64], "big") == 3, "old releases look there"
    stamp = kept.stat().st_mtime_ns
    migrate_database(path, STEPS, 3)
    assert kept.stat().st_mtime_ns == stamp, "there is nothing left to do"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.db", "a.db.v1.bak"]


def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db")

    def fail(database: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(sqlite3.OperationalError):
        migrate_database(path, {**STEPS, 2: fail}, 3)
    assert content(path) == (1, [("kept",)])
    migrate_database(path, STEPS, 3)
    assert content(path) == (3, [("kept", "nobody")])


def test_a_newer_or_unknown_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", number=4)
    with pytest.raises(NewerFormat, match=r"newer flamepy \(format 4; this one knows 3\)"):
        migrate_database(path, STEPS, 3)
    older = made(tmp_path / "b.db", number=0)
    with pytest.raises(sqlite3.DatabaseError, match="no format 0"):
        migrate_database(older, STEPS, 3)
    assert (content(path), content(older)) == ((4, [("kept",)]), (0, [("kept",)]))


KILLED = """
import os, sys, sqlite3
sys.path[:0] = {paths!r}
from pathlib import Path
from flamepy import formats
from test_formats import FOLDER_STEPS, STEPS
left = {after}

def trace(frame, event, argument):
    global left
    if frame.f_code.co_filename != formats.__file__:
        return None
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return trace

sys.settrace(trace)
{call}
"""


def killed(after: int, call: str) -> bool:
    """Run a call in a process that is killed before that line of ``formats``; False if it ended."""
    paths = [str(Path(__file__).parent), *sys.path]
    code = KILLED.format(paths=paths, after=after, call=call)
    status = subprocess.run([sys.executable, "-c", code], check=False).returncode
    assert status in (0, -signal.SIGKILL)
    return status != 0


@pytest.mark.timeout(300)
def test_a_kill_before_any_line_leaves_the_old_database_or_the_new_one(tmp_path: Path) -> None:
    after, seen = 0, set()
    while True:
        path = made(tmp_path / f"{after}.db")
        cut = killed(after, f"formats.migrate_database(Path({str(path)!r}), STEPS, 3)")
        found = content(path)
        seen.add(found[0])
        assert found in ((1, [("kept",)]), (3, [("kept", "nobody")]))
        if found[0] == 3:
            assert content(path.with_name(f"{path.name}.v1.bak")) == (1, [("kept",)])
        migrate_database(path, STEPS, 3)
        assert content(path) == (3, [("kept", "nobody")])
        if not cut:
            break
        after += 4  # lines; each one would take minutes
    assert seen == {1, 3}


# ---------------------------------------------------------------------- folders


def upper(old: Path, new: Path) -> None:
    for one in old.iterdir():
        if one.name != formats.NUMBER:
            (new / one.name).write_text(one.read_text().upper())


def twice(old: Path, new: Path) -> None:
    for one in old.iterdir():
        if one.name != formats.NUMBER:
            (new / one.name).write_text(one.read_text() * 2)


FOLDER_STEPS = {1: upper, 2: twice}


def folder(path: Path) -> Path:
    """Make a folder as releases did that wrote no number."""
    path.mkdir(parents=True)
    (path / "a").write_text("a")
    return path


def texts(path: Path) -> str:
    return (path / "a").read_text()


def test_a_folder_goes_through_every_step_and_the_old_ones_stay(tmp_path: Path) -> None:
    path = folder(tmp_path / "objects")
    open_folder(path, FOLDER_STEPS, 3)
    assert (folder_format(path, 3), texts(path)) == (3, "AA")
    assert texts(tmp_path / "objects.v1.bak") == "a"
    assert texts(tmp_path / "objects.v2.bak") == "A"
    open_folder(path, FOLDER_STEPS, 3)
    assert texts(path) == "AA"


def test_a_folder_of_today_gets_its_number_and_keeps_its_files(tmp_path: Path) -> None:
    path = folder(tmp_path / "objects")
    open_folder(path, {}, 1)
    assert ((path / formats.NUMBER).read_text(), texts(path)) == ("1\n", "a")
    open_folder(tmp_path / "new" / "objects", FOLDER_STEPS, 3)
    assert folder_format(tmp_path / "new" / "objects", 3) == 3
    assert (tmp_path / "new" / "objects").stat().st_mode & 0o077 == 0


def test_a_newer_folder_is_left_as_it_is(tmp_path: Path) -> None:
    path = folder(tmp_path / "objects")
    (path / formats.NUMBER).write_text("4\n")
    with pytest.raises(NewerFormat, match="format 4; this one knows 3"):
        open_folder(path, FOLDER_STEPS, 3)
    assert texts(path) == "a"


@pytest.mark.timeout(300)
def test_a_kill_before_any_line_leaves_a_folder_that_the_next_start_finishes(
    tmp_path: Path,
) -> None:
    after = 0
    while True:
        path = folder(tmp_path / str(after) / "objects")
        cut = killed(after, f"formats.open_folder(Path({str(path)!r}), FOLDER_STEPS, 3)")
        open_folder(path, FOLDER_STEPS, 3)
        assert (folder_format(path, 3), texts(path)) == (3, "AA")
        assert texts(path.with_name("objects.v1.bak")) == "a"
        if not cut:
            break
        after += 4
    assert after > 20, os.fspath(path)
