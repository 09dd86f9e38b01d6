"""What an older release left, cut by a kill in the middle of work, is opened whole by this one.

Each folder ``v<number>`` has a data folder, a checkpoint, and the list of ends that were handled by
then. ``FLAME_FORMATS`` names where those of the first format are; later ones are beside this file.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer, connect
from flamepy.informers import Reactor
from flamepy.informers.checkpoint.file import FORMAT as CHECKPOINT_FORMAT
from flamepy.informers.checkpoint.tables import STEPS as CHECKPOINT_STEPS
from flamepy.local import LocalCluster
from flamepy.local.object_cache.disk import FOLDER_FORMAT
from flamepy.local.object_cache.disk import STEPS as FOLDER_STEPS
from flamepy.local.storage.database import FORMAT as DATABASE_FORMAT
from flamepy.local.storage.database import STEPS as DATABASE_STEPS
from flamepy.types import TaskState
from flamepy.watching.state.events import TaskEvent

HERE = Path(__file__).parent
GIVEN = Path(os.environ.get("FLAME_FORMATS") or "no-recordings")
FOLDERS = [one for folder in (GIVEN, HERE) for one in sorted(folder.glob("v[0-9]*"))]
EXPECTED = {("open", str(number)) for number in range(1, 16)}

End = tuple[str, str, TaskState]


class Ends(TaskInformer):
    def __init__(self) -> None:
        self.told: Counter[End] = Counter()

    def on_terminal(self, event: TaskEvent) -> None:
        task = event.task
        self.told[task.session_id, task.id, task.state] += 1


def copied(folder: Path, to: Path) -> Path:
    """Copy a folder that may be read only, for this user alone."""
    to.mkdir(mode=0o700)
    for one in folder.iterdir():
        if one.is_dir():
            copied(one, to / one.name)
        else:
            shutil.copyfile(one, to / one.name)
    return to


def handled(folder: Path) -> set[tuple[str, str]]:
    lines = (folder / "handled.txt").read_text().splitlines()
    return {(session, task) for session, task, _ in map(str.split, lines)}


def check_cluster(connection: Connection) -> None:
    application = connection.get_application("fmt")
    assert application is not None
    assert (application.description, application.labels) == ("of format 1", ["a"])
    assert (application.environments, application.delay_release) == ({"K": "v"}, 60)
    sessions = {one.id: one for one in connection.list_sessions()}
    assert sorted(sessions) == ["done", "open"]
    counts = sessions["done"].info.counts
    assert (counts.succeed, counts.failed, counts.total) == (16, 4, 20)
    session = connection.open_session("open")
    assert session.common_data() == b"common"
    assert [session.get_task(str(number)).output for number in range(1, 11)] == [b"ok"] * 10


@pytest.mark.skipif(not GIVEN.is_dir(), reason="FLAME_FORMATS names no folder of older files")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda one: one.name)
def test_nothing_is_lost_and_nothing_told_twice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    copy = copied(folder, tmp_path / "copy")
    before, ends = handled(copy), Ends()
    with (
        LocalCluster(data=copy / "data", executors=1, cache_port=None) as cluster,
        connect(cluster.endpoint) as connection,
    ):
        check_cluster(connection)
        with Reactor(checkpoint=copy / "checkpoint.db", connection=connection) as reactor:
            reactor.register(ends, application="fmt", uid="fmt")
            eventually(lambda: len(ends.told) >= len(EXPECTED), "every end", limit=60.0)
            session = connection.open_session("open")
            eventually(lambda: session.refresh().succeed == 15, "tasks that waited to run")
            assert reactor.health().checkpoint
    assert {end[:2] for end in ends.told} == EXPECTED
    assert not before & EXPECTED
    assert set(ends.told.values()) == {1}
    assert {end[2] for end in ends.told} == {TaskState.SUCCEED}


def test_each_format_has_a_step_to_the_next_and_a_folder_of_its_own() -> None:
    for known, steps in (
        (DATABASE_FORMAT, DATABASE_STEPS),
        (CHECKPOINT_FORMAT, CHECKPOINT_STEPS),
        (FOLDER_FORMAT, FOLDER_STEPS),
    ):
        assert sorted(steps) == list(range(1, known))
        for number in range(2, known + 1):
            assert (HERE / f"v{number}").is_dir(), "add what this format looks like, cut by a kill"
