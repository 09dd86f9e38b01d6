"""A recording played back calls an informer as the reactor did: order, flags, keys, times."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flamepy.errors import ConfigError, InvalidArgumentError
from flamepy.informers import Reactor, Reconciler, SessionInformer
from flamepy.informers.informer import SessionProgress, TaskInformer
from flamepy.recording.file import Recording, RecordingFile
from flamepy.recording.playback import Playback, PlaybackReport
from flamepy.recording.recorder import Recorder
from flamepy.runtime.clocks import monotonic
from flamepy.testing import ScriptedConnection, ScriptedSource, replay
from flamepy.types import ConnectionState
from flamepy.watching.state.events import SessionEvent, TaskEvent

Recorded = tuple[Path, list[str], list[float]]


class Diary(TaskInformer, SessionInformer):
    """Writes down everything that it sees of each call."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.times: list[float] = []
        self.threads: set[str] = set()
        self.closed = False

    def _note(self, name: str, event: TaskEvent | SessionEvent) -> None:
        self.threads.add(threading.current_thread().name)
        fields = event.to_dict()
        del fields["lag"], fields["observed_at"]  # which each reading rounds to ms anew
        self.times.append(event.observed_at)
        more: list[Any] = [event.session.counts] if event.session is not None else [None]
        if isinstance(event, SessionEvent):
            more += [
                event.old and (event.old.counts, event.old.state, event.old.completion_time),
                event.session.max_instances,
            ]
        self.lines.append(f"{name} {json.dumps(fields, sort_keys=True)} {more}")

    def on_transition(self, event: TaskEvent) -> None:
        self._note("transition", event)

    def on_failed(self, event: TaskEvent) -> None:
        self._note("failed", event)

    def on_progress(self, counts: SessionProgress) -> None:
        assert counts.event is not None
        self._note("progress", counts.event)

    def on_opened(self, event: SessionEvent) -> None:
        self._note("opened", event)

    def on_drained(self, event: SessionEvent) -> None:
        self._note("drained", event)

    def on_closed(self, event: SessionEvent) -> None:
        self._note("closed", event)

    def on_event(self, event: SessionEvent) -> None:
        self._note("event", event)

    def on_deleted(self, event: TaskEvent | SessionEvent) -> None:
        self._note("deleted", event)

    def on_synced(self) -> None:
        self.lines.append("synced")

    def on_connection(self, state: ConnectionState) -> None:
        self.lines.append(f"connection {state}")

    def close(self) -> None:
        self.closed = True


def one_more(source: ScriptedSource) -> None:
    """Create a task that runs at once."""
    source.add_task("s", b"")
    source.start("s", "3")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Give a recording, and what an informer on the same reactor saw meanwhile."""
    path = tmp_path_factory.mktemp("recorded") / "r.flr"
    diary = Diary()
    with ScriptedConnection() as connection:
        connection.do(lambda source: source.add_session("s"))
        for _ in range(2):
            connection.do(lambda source: source.add_task("s", b""))
        connection.do(lambda source: source.start("s", "1"))
        reactor = Reactor(connection=connection, plugins=(), poll_interval=(0.005, 0.02))
        recorder = Recorder(RecordingFile(path), about={"endpoint": "scripted"})
        for one in (recorder, diary):
            reactor.register(one)
        with reactor:
            reactor.wait_synced(20)
            steps: list[Callable[[ScriptedSource], object]] = [
                lambda source: source.succeed("s", "1"),
                lambda source: source.start("s", "2"),
                lambda source: source.fail("s", "2", "no \x1b way"),
                one_more,
                lambda source: source.succeed("s", "3"),
                lambda source: source.close("s"),
                lambda source: source.drop_session("s"),
            ]
            for step in steps:
                seen = len(diary.lines)
                connection.do(step)
                limit = monotonic() + 20
                while len(diary.lines) == seen and monotonic() < limit:
                    threading.Event().wait(0.005)
            limit = monotonic() + 20
            while not any(one.startswith("deleted") and '"session"' in one for one in diary.lines):
                assert monotonic() < limit, diary.lines
                threading.Event().wait(0.005)
        recorder.finish("done")  # the stop of the reactor has delivered what was queued
    return path, diary.lines, diary.times


def test_the_calls_are_the_same(recorded: Recorded) -> None:
    path, expected, times = recorded
    diary = Diary()
    report = replay(path, diary)
    for number, (got, wanted) in enumerate(zip(diary.lines, expected, strict=True)):
        assert got == wanted, number
    assert diary.times == pytest.approx(times, abs=0.01)
    assert diary.closed
    assert diary.threads == {"flamepy-handler-Diary"}
    assert report.delivered == {"Diary": report.events}
    assert not [one for one in threading.enumerate() if "Diary" in one.name]


def test_a_slow_informer_with_a_small_queue_misses_nothing(
    recorded: Recorded,
) -> None:
    path, *_ = recorded
    fast, slow = Diary(), Diary()
    replay(path, fast)
    replay(path, slow, queue_size=1, where=lambda event: threading.Event().wait(0.002) or True)
    assert slow.lines == fast.lines
    assert all('"coalesced": 0' in line for line in slow.lines if "{" in line)


def test_scope_and_replay_choose_as_a_reactor_does(recorded: Recorded) -> None:
    path, *_ = recorded
    for options in ({"application": "other"}, {"session": "other"}):
        diary = Diary()
        replay(path, diary, **options)
        assert diary.lines == ["connection connected", "synced"]
    live = Diary()
    replay(path, live, replay="none")
    assert live.lines
    assert not any('"initial": true' in line for line in live.lines)


def test_the_speed_is_kept_and_a_stop_ends_it(recorded: Recorded) -> None:
    path, *_ = recorded
    playback = Playback(speed=1e-6)  # weeks
    diary = Diary()
    playback.add(diary)
    found: list[PlaybackReport] = []
    thread = threading.Thread(target=lambda: found.append(playback.run(Recording(path))))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    playback.stop()
    thread.join(20)
    (report,) = found
    assert report.stopped
    assert report.events < events_in(path)


def events_in(path: Path) -> int:
    return sum(isinstance(one, (TaskEvent, SessionEvent)) for one in Recording(path))


class Failing(TaskInformer):
    def on_failed(self, event: TaskEvent) -> None:
        raise LookupError("not found")


def test_a_callback_that_fails_is_named(recorded: Recorded) -> None:
    path, *_ = recorded
    with pytest.raises(AssertionError, match=r"Failing\.on_failed failed: LookupError"):
        replay(path, Failing)
    report = replay(path, Failing(), strict=False)
    assert [(one, two) for one, two, _ in report.failures] == [("Failing", "on_failed")]
    assert "1 callbacks failed" in str(report)


class Wants(Reconciler):
    def reconcile(self, key: Any) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("informer", "options", "says"),
    [
        (Wants, {}, "asks a reactor for state"),
        (Diary, {"speed": 0}, "speed must be a number above 0"),
        (Diary, {"speed": "fast"}, "speed must be a number above 0"),
        (Diary, {"worker": 2}, "there is no option 'worker'"),
        (object, {}, "is not an informer"),
    ],
)
def test_what_cannot_be_played_is_refused(
    informer: type, options: dict[str, Any], says: str, recorded: Recorded
) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        replay(recorded[0], informer, **options)


def test_no_informer_and_no_recording_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="needs an informer"):
        replay(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be read"):
        replay(tmp_path / "none", Diary())


def test_a_recorder_that_is_full_says_so_once(tmp_path: Path, recorded: Recorded) -> None:
    calls: list[str] = []
    recorder = Recorder(
        RecordingFile(tmp_path / "r"), max_size=1500, full=lambda: calls.append("full")
    )
    for item in Recording(recorded[0]):
        if isinstance(item, TaskEvent):
            recorder.on_transition(item)
    recorder.finish("full")
    assert calls == ["full"]
    assert 0 < events_in(tmp_path / "r") < events_in(recorded[0])


def test_events_that_come_again_after_a_kill_are_recorded_once(
    tmp_path: Path, recorded: Recorded
) -> None:
    events = [one for one in Recording(recorded[0]) if isinstance(one, TaskEvent)]
    first = Recorder(RecordingFile(tmp_path / "r"))
    for event in events[:3]:
        first.on_transition(event)
    first.file._file.close()  # as a kill leaves it
    second = Recorder(RecordingFile(tmp_path / "r"))
    for event in events[1:]:  # the checkpoint did not have the last ones
        second.on_transition(event)
    second.on_synced()
    second.finish("done")
    found = [one.key for one in Recording(tmp_path / "r") if isinstance(one, TaskEvent)]
    assert found == [one.key for one in events]
