"""``flamepy deadletters`` shows, retries and drops what is in a reactor's file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flamepy.cli.commands import flamepy
from flamepy.informers.arguments import StateFile
from flamepy.informers.checkpoint.store import CheckpointStore
from flamepy.informers.dead_letters.letter import letters_of
from flamepy.informers.reactor_checkpoint import ReactorCheckpoint
from flamepy.runtime.clocks import wall
from flamepy.types import Task, TaskState
from flamepy.watching.state.event_dicts import time_of
from flamepy.watching.state.events import EventKind, TaskEvent

MOMENT = time_of({"at": "2026-01-01T00:00:00+00:00"}, "at")
assert MOMENT is not None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file that has three letters, of two informers."""
    path = tmp_path / "state.db"
    store = CheckpointStore(path)
    store.open()
    for number, informer in ((1, "bills"), (2, "bills"), (3, "mails")):
        task = Task(str(number), "s", TaskState.SUCCEED, MOMENT, payloads_loaded=False)  # type: ignore[arg-type]  # it is a time
        event = TaskEvent(kind=EventKind.ADDED, task=task, application="app")
        error = ValueError("out of \x1b[31mpaper")
        store.put_dead(
            letters_of(
                event, error, informer=informer, callback="on_terminal", attempts=1, now=wall()
            )
        )
    store.close()
    return path


def call(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(flamepy, ["deadletters", *arguments, "--checkpoint", str(file)])


def test_they_are_listed_as_a_table_and_as_json(file: Path) -> None:
    table = call(file, "list", "--table").stdout
    assert re.search(r"1 +bills +on_terminal +s +1 +1 +ValueError: out", table)
    assert "\x1b" not in table
    assert [one["informer"] for one in json.loads(call(file, "list", "--json").stdout)] == [
        *("bills", "bills", "mails"),
    ]
    shown = call(file, "list", "--json", "--limit", "1")
    assert len(json.loads(shown.stdout)) == 1
    assert "2 more: --limit 3 shows them" in shown.stderr


def test_one_is_shown_whole(file: Path) -> None:
    shown = call(file, "show", "2", "--table").stdout
    assert "bills.on_terminal at s/2@" in shown
    assert '"application": "app"' in shown
    assert "\x1b" not in shown
    assert json.loads(call(file, "show", "2", "--json").stdout)["id"] == 2
    wrong = call(file, "show", "99")
    assert (wrong.exit_code, "no dead letter 99" in wrong.stderr) == (1, True)


def test_they_are_retried_and_dropped_by_id_by_informer_and_all(file: Path) -> None:
    assert call(file, "retry", "1").stdout == "1 will be handled again\n"
    assert "waits to be handled again" in call(file, "show", "1", "--table").stdout
    assert call(file, "drop", "--informer", "bills").stdout == "2 deleted\n"
    assert call(file, "drop", "--all").stdout == "1 deleted\n"
    assert json.loads(call(file, "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("verb", "done"), [("retry", "2 will be handled again\n"), ("drop", "2 deleted\n")]
)
def test_unknown_ids_are_named_and_end_it_with_1(file: Path, verb: str, done: str) -> None:
    refused = call(file, verb, "99")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "there is no dead letter 99; flamepy deadletters list" in refused.stderr
    partly = call(file, verb, "98", "1", "99", "3")
    assert (partly.exit_code, partly.stdout) == (1, done), "the others are handled nevertheless"
    assert "there are no dead letters 98, 99" in partly.stderr
    letters = json.loads(call(file, "list", "--json").stdout)
    assert [one["id"] for one in letters if not one["retrying"]] == [2]


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["--informer", "bills", "--all"]])
def test_exactly_one_choice_is_needed(file: Path, arguments: list[str]) -> None:
    refused = call(file, "drop", *arguments)
    assert refused.exit_code == 2
    assert "give ids, or --informer NAME, or --all" in refused.stderr
    assert len(json.loads(call(file, "list", "--json").stdout)) == 3


def test_beside_a_reactor_that_has_the_file(file: Path) -> None:
    holder = ReactorCheckpoint(StateFile(file, True, True), retain=10)
    holder.open([])
    try:
        assert call(file, "drop", "--all").stdout == "3 deleted\n"
        assert len(holder.dead_letters) == 0
    finally:
        holder.close()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("no database")
    for path, rule in ((tmp_path / "no.db", "there is no checkpoint"), (other, "is no checkpoint")):
        refused = call(path, "list")
        assert (refused.exit_code, rule in refused.stderr) == (1, True), refused.stderr
        assert not (tmp_path / "no.db").exists()
