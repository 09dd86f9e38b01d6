"""What is written is what is read back, and a change that cannot be written is not made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.written import PromptCommitter, Written

from flamepy._proto import frontend_pb2, types_pb2
from flamepy.errors import ConfigError
from flamepy.local.engine import Engine
from flamepy.local.frontend import Frontend
from flamepy.local.state.applications import default_set
from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.refusal import Refusal, StorageRefusal
from flamepy.local.state.rows import TASK_EVENTS, EventRow
from flamepy.local.storage.commits import Commits
from flamepy.local.storage.storage import Storage, _decode_events, _encode_events
from flamepy.types import (
    ApplicationAttributes,
    ApplicationSchema,
    Node,
    NodeState,
    ResourceRequirement,
    SessionAttributes,
    SessionState,
    TaskState,
)

NODE = Node("n", NodeState.READY, ResourceRequirement(2), ResourceRequirement(2))
FULL = ApplicationAttributes(
    command="c",
    arguments=["a", "b"],
    environments={"A": "1"},
    labels=["l"],
    description="d",
    working_directory="/w",
    max_instances=3,
    delay_release=0,
    schema=ApplicationSchema(input="{}"),
    url="u",
    installer="i",
    image="m",
)


def engine(state: Written) -> Engine:
    """Return an engine without executors, on the running loop."""
    assert state.storage is not None
    commits = Commits(PromptCommitter(state.storage))
    return Engine(state.state, commits=commits, instances=None, executors=0)  # type: ignore[arg-type]  # unused


@contextmanager
def opened(folder: Path, **more: int) -> Iterator[Written]:
    """Give the state that the folder holds, as a starting cluster does."""
    storage = Storage(folder)
    try:
        if storage.fresh:
            storage.begin_with(default_set(0))
        state = ClusterState(NODE, now=lambda: 1_700_000_000_123, stored=storage.load(), **more)
        yield Written(state, storage)
    finally:
        storage.close()


def seen(state: Written) -> object:
    """Return all that clients can see."""
    sessions = state.list_sessions()
    tasks = [
        state.get_task(one.id, task.id) for one in sessions for task in state.list_tasks(one.id)
    ]
    applications = sorted(state.applications.list(), key=lambda one: one.name)
    return applications, sessions, tasks


def run(state: Written, session_id: str, code: int = 0, output: bytes | None = None) -> None:
    executor = state.add_executor("e", session_id)
    assert state.launch(executor) is not None
    state.complete(executor, code, output, "why" if code else None)
    state.remove_executor(executor)


def test_everything_that_clients_see_is_there_again(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.register_application("app", FULL)
        state.register_application("gone", FULL)
        state.unregister_application("gone")
        state.unregister_application("flmping")
        spec = SessionAttributes(
            "app", common_data=b"c", resreq=ResourceRequirement(2**64 - 1, 2**64 - 1, -1),
            min_instances=1, max_instances=2, priority=2**32 - 1,
        )  # fmt: skip
        for name in ("s", "closed", "deleted", "../odd\x00 id\n"):
            state.create_session(name, spec)
        for payload in (b"in", None, b"\x00\xff", b"x"):
            state.create_task("s", payload)
        run(state, "s", output=b"out")
        run(state, "s", code=-1)
        state.create_task("closed", b"never")
        state.close_session("closed")
        state.close_session("deleted")
        state.delete_session("deleted")
        state.bind_failed(state.add_executor("f", "s"), 11, "no")
        before = seen(state)
    with opened(tmp_path) as state:
        assert seen(state) == before
        assert [one.name for one in state.applications.list() if one.name.startswith("flm")] == [
            "flmexec",
            "flmrun",
        ]


def test_a_running_task_waits_again_and_ids_go_on(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.register_application("app", FULL)
        state.create_session("s", SessionAttributes("app"))
        for _ in range(3):
            state.create_task("s", b"x")
        run(state, "s")
        state.launch(state.add_executor("e", "s"))
        assert state.get_session("s").counts.running == 1
    with opened(tmp_path) as state:
        counts = state.get_session("s").counts
        assert (counts.pending, counts.running, counts.succeed) == (2, 0, 1)
        assert state.create_task("s", None).id == "4"
        executor = state.add_executor("e", "s")
        assert state.launch(executor).id == "2"  # type: ignore[union-attr]
        state.complete(executor, 0, None, None)
        # As recorded: one event of running, however often it ran.
        assert [event.code for event in state.get_task("s", "2").events] == [0, 1, 2]


def test_tasks_that_come_together_are_one_commit(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.register_application("app", FULL)
        for name in ("a", "b", "closed"):
            state.create_session(name, SessionAttributes("app"))
        state.close_session("closed")
        said: list[str] = []
        state.storage._database.set_trace_callback(said.append)
        wanted = ["a", "closed", "b", "a", "unknown", "a"]
        made = state.create_tasks([(name, name.encode()) for name in wanted])
        assert said.count("COMMIT") == 1
        shown = [one.code if isinstance(one, Refusal) else (one.session_id, one.id) for one in made]
        assert shown == [
            ("a", "1"), "INVALID_ARGUMENT", ("b", "1"), ("a", "2"), "NOT_FOUND", ("a", "3"),
        ]  # fmt: skip
        before = seen(state)
    with opened(tmp_path) as state:
        assert seen(state) == before


def test_an_end_and_the_next_start_are_one_commit(tmp_path: Path) -> None:
    with opened(tmp_path) as state:
        state.register_application("app", FULL)
        state.create_session("s", SessionAttributes("app"))
        for _ in range(2):
            state.create_task("s", b"x")
        executor = state.add_executor("e", "s")
        state.launch(executor)
        said: list[str] = []
        state.storage._database.set_trace_callback(said.append)
        following = state.turn(executor, 0, b"out", None)
        assert following is not None
        assert (following.id, following.state) == ("2", TaskState.RUNNING)
        assert said.count("COMMIT") == 1
        assert state.turn(executor, -1, None, "no") is None, "there is no other"
        before = seen(state)
    with opened(tmp_path) as state:
        assert seen(state) == before
        tasks = state.list_tasks("s")
        assert [(one.state.name, one.output) for one in tasks] == [
            ("SUCCEED", b"out"), ("FAILED", None),
        ]  # fmt: skip


def test_an_exhausted_session_gets_executors_again(tmp_path: Path) -> None:
    with opened(tmp_path, retry_limit=1) as state:
        state.register_application("app", FULL)
        state.create_session("s", SessionAttributes("app"))
        state.bind_failed(state.add_executor("e", "s"), 12, "no")
        assert state.exhausted(state.sessions["s"])
    with opened(tmp_path, retry_limit=1) as state:
        assert [event.code for event in state.get_session("s").events] == [1001, 1002]
        assert not state.exhausted(state.sessions["s"])


def test_evicted_sessions_stay_away(tmp_path: Path) -> None:
    with opened(tmp_path, max_sessions=3) as state:
        state.register_application("app", FULL)
        for name in "abc":
            state.create_session(name, SessionAttributes("app"))
            state.close_session(name)
        assert state.evict() == ["a"]
        assert state.evict() == []
    with opened(tmp_path) as state:
        assert sorted(state.sessions) == ["b", "c"]


def test_open_sessions_are_never_evicted(tmp_path: Path) -> None:
    with opened(tmp_path, max_sessions=1) as state:
        state.register_application("app", FULL)
        for name in "abc":
            state.create_session(name, SessionAttributes("app"))
        state.close_session("b")
        assert state.evict() == ["b"]


def test_an_answer_shows_a_task_as_it_was_made_even_if_it_runs_by_then(tmp_path: Path) -> None:
    async def create(state: Written) -> types_pb2.Task:
        frontend = Frontend(engine(state))
        spec = types_pb2.TaskSpec(session_id="s", input=b"x")
        answer = frontend.create_task(frontend_pb2.CreateTaskRequest(task=spec))
        while not state.list_tasks("s"):
            await asyncio.sleep(0)
        assert state.launch(state.add_executor("e", "s")) is not None
        state.get_task("s", "1")
        return await answer  # type: ignore[misc]  # what is written is answered later

    with opened(tmp_path) as state:
        state.register_application("app", FULL)
        state.create_session("s", SessionAttributes("app"))
        task = asyncio.run(create(state))
        assert (task.metadata.id, task.spec.input) == ("1", b"x")
        assert (task.status.state, len(task.status.events)) == (TaskState.PENDING, 0)


KNOWN = st.sampled_from(sorted(TASK_EVENTS.items()))


@given(st.lists(st.tuples(KNOWN | st.tuples(st.integers(0, 1002), st.text()), st.integers(0))))
def test_events_are_json_that_leaves_out_what_the_code_says(
    given_events: list[tuple[tuple[int, str], int]],
) -> None:
    events = [EventRow(code, text, millis) for (code, text), millis in given_events]
    written = _encode_events(events)
    assert written == json.dumps(
        [
            [code, millis] if TASK_EVENTS.get(code) == text else [code, millis, text]
            for code, text, millis in events
        ],
        separators=(",", ":"),
    )
    assert _decode_events(written) == events


class TestWithoutRoom:
    """A full disk, by a limit on the database's pages."""

    @pytest.fixture
    def state(self, tmp_path: Path) -> Iterator[Written]:
        storage = Storage(tmp_path)
        state = Written(ClusterState(NODE, now=lambda: 0), storage)
        state.register_application("app", FULL)
        state.create_session("s", SessionAttributes("app"))
        state.create_task("s", b"x")
        pages = storage._database.execute("PRAGMA page_count").fetchone()[0]
        self.limit = lambda count: storage._database.execute(f"PRAGMA max_page_count = {count}")
        self.limit(pages)
        yield state
        storage.close()

    def test_a_refused_change_has_not_happened_and_works_later(self, state: Written) -> None:
        before = seen(state)
        with pytest.raises(StorageRefusal, match=r"full; nothing was changed: make room") as caught:
            state.create_task("s", b"y" * 100_000)
        assert caught.value.code == "INTERNAL"
        assert seen(state) == before
        self.limit(1_000_000)
        assert state.create_task("s", b"y" * 100_000).id == "2"

    def test_an_output_waits_with_its_task_running(self, state: Written) -> None:
        executor = state.add_executor("e", "s")
        state.launch(executor)
        with pytest.raises(StorageRefusal):
            state.complete(executor, 0, b"z" * 100_000, None)
        assert state.get_task("s", "1").state == TaskState.RUNNING
        self.limit(1_000_000)
        state.complete(executor, 0, b"z" * 100_000, None)
        assert state.get_task("s", "1").state == TaskState.SUCCEED

    def test_of_those_that_come_together_only_what_has_no_room_is_refused(
        self, state: Written
    ) -> None:
        async def act() -> list[object]:
            made = engine(state)
            asked = [made.create_soon("s", one) for one in (b"a", b"y" * 100_000, b"b")]
            return list(await asyncio.gather(*asked, return_exceptions=True))

        small, large, last = asyncio.run(act())
        assert isinstance(large, StorageRefusal)
        assert [getattr(one, "id", None) for one in (small, last)] == ["2", "3"]
        assert state.get_session("s").counts.pending == 3


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from("ab")),
        st.tuples(st.just("task"), st.sampled_from("ab"), st.none() | st.binary(max_size=4)),
        st.tuples(st.just("run"), st.sampled_from("ab"), st.sampled_from([0, -1])),
        st.tuples(st.just("close"), st.sampled_from("ab")),
        st.tuples(st.just("delete"), st.sampled_from("ab")),
        st.tuples(st.just("evict")),
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(steps=STEPS)
def test_any_history_is_read_back_as_it_was(
    steps: list[tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("data")
    with opened(folder, max_sessions=2) as state:
        state.register_application("app", FULL)
        for name, *arguments in steps:
            try:
                act(state, name, arguments)
            except (Refusal, KeyError, AssertionError):
                continue  # not allowed just now
        before = seen(state)
    with opened(folder) as state:
        assert seen(state) == before


def act(state: Written, name: str, arguments: list[object]) -> None:
    if name == "create":
        state.create_session(str(arguments[0]), SessionAttributes("app"))
    elif name == "task":
        state.create_task(*arguments)  # type: ignore[arg-type]
    elif name == "run":
        run(state, str(arguments[0]), int(str(arguments[1])), b"o")
    elif name == "close":
        state.close_session(str(arguments[0]))
    elif name == "delete":
        state.delete_session(str(arguments[0]))
    else:
        state.evict()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE tasks SET state = 17", "no state 17"),
        ("UPDATE sessions SET state = 5", "no state 5"),
        ("UPDATE tasks SET number = 5 WHERE number = 1", "has no task 1"),
        ("UPDATE tasks SET events = 'nonsense'", "Expecting value"),
        ("UPDATE sessions SET spec = x'FF'", "cannot be read"),
        ("DELETE FROM sessions", "cannot be read"),
        ("DROP TABLE outputs", "no such table: outputs"),
    ],
)
def test_rows_that_make_no_sense_are_named(tmp_path: Path, change: str, says: str) -> None:
    with opened(tmp_path) as state:
        state.register_application("app", FULL)
        state.create_session("s", SessionAttributes("app"))
        state.create_task("s", b"x")
        assert state.get_session("s").state == SessionState.OPEN
    storage = Storage(tmp_path)
    storage._database.execute(change)
    try:
        with pytest.raises(ConfigError, match=says) as caught:
            storage.load()
    finally:
        storage.close()
    assert str(tmp_path / "flame.db") in caught.value.message
    assert "left as it is" in caught.value.message
