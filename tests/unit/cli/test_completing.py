"""A shell completes what files know: contexts, dead letters, what waits in outboxes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from support.made import made_task

from flamepy.cli.commands import flamepy
from flamepy.informers.checkpoint.store import CheckpointStore
from flamepy.informers.dead_letters.letter import letters_of
from flamepy.informers.outbox import table
from flamepy.informers.outbox.entry import OutboxRow
from flamepy.watching.state.events import EventKind, TaskEvent

CONFIG = """
current-context: home
contexts:
  - {name: home, cluster: {endpoint: "http://127.0.0.1:1"}}
  - {name: office, cluster: {endpoint: "http://127.0.0.1:2"}}
"""


def complete(*words: str) -> list[str]:
    *given, begun = words
    shell = ShellComplete(flamepy, {}, "flamepy", "_FLAMEPY_COMPLETE")
    return [one.value for one in shell.get_completions(given, begun)]


@pytest.mark.parametrize(
    "command", [("run",), ("replay",), ("dashboard",), ("plugins", "list"), ("plugins", "check")]
)
def test_contexts_of_the_file(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "flame.yaml"
    file.write_text(CONFIG)
    monkeypatch.setenv("FLAME_CONFIG", str(file))
    assert complete(*command, "--context", "") == ["home", "office"]
    assert complete(*command, "--context", "of") == ["office"]
    for broken in ("contexts: [\n", "contexts: 7\n", "- 1\n"):
        file.write_text(broken)
        assert complete(*command, "--context", "") == []
    monkeypatch.setenv("FLAME_CONFIG", str(tmp_path / "none"))
    assert complete(*command, "--context", "") == []


def test_contexts_of_a_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(CONFIG)
    assert complete("run", "--config", str(file), "--context", "h") == ["home"]


@pytest.fixture
def kept(tmp_path: Path) -> str:
    path = tmp_path / "state.db"
    store = CheckpointStore(path)
    store.open()
    for informer in ("bills", "mails"):
        event = TaskEvent(kind=EventKind.ADDED, task=made_task(), application="app")
        store.put_dead(
            letters_of(
                event,
                ValueError("no"),
                informer=informer,
                callback="on_terminal",
                attempts=1,
                now=1_800_000_000.0,
            )
        )
    row = OutboxRow("to", None, "s/1", '{"type": "task"}', 1_800_000_000.0)
    store.transact(lambda database: table.put(database, "hook", [row]))
    store.close()
    return str(path)


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (("deadletters", "show"), ["1", "2"]),
        (("deadletters", "retry"), ["1", "2"]),
        (("deadletters", "drop", "1"), ["1", "2"]),
        (("deadletters", "drop", "--informer"), ["bills", "mails"]),
        (("deadletters", "list", "--informer"), ["bills", "mails"]),
        (("outbox", "retry"), ["1"]),
        (("outbox", "drop", "--sink"), ["hook"]),
        (("outbox", "list", "--sink"), ["hook"]),
    ],
)
def test_what_the_file_of_a_reactor_has(
    words: tuple[str, ...], offers: list[str], kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, verb, *rest = words
    assert complete(group, verb, "--checkpoint", kept, *rest, "") == offers
    assert complete(group, verb, "--checkpoint", kept, *rest, "x") == []
    assert complete(group, verb, "--checkpoint", f"{kept}-none", *rest, "") == []
    assert complete(group, verb, *rest, "") == []
    monkeypatch.setenv("FLAME_CHECKPOINT", kept)
    assert complete(group, verb, *rest, "") == offers
