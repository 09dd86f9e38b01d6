"""From a reactor's events to messages: grouped, limited, repeated until taken, over restarts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from flamepy_notify import Notify
from receivers import Answer, WebReceiver, web

from flamepy.core import Connection, connect
from flamepy.errors import InvalidArgumentError
from flamepy.informers import Reactor, Registration, expect
from flamepy.informers.plugins.loading import discover
from flamepy.testing import FakeEngine, check_informer

SECRET = "T0/B0/s3cr3t-canary"


def eventually(holds: Callable[[], object], what: str) -> None:
    limit, pause = time.monotonic() + 30, threading.Event()
    while not holds():
        assert time.monotonic() < limit, f"waited for {what}"
        pause.wait(0.01)


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web() as made:
        yield made


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as made:
        made.add_session("s", application="render")
        yield made


@pytest.fixture
def connection(engine: FakeEngine) -> Iterator[Connection]:
    with connect(engine.endpoint) as made:
        yield made


def notify(receiver: WebReceiver, **options: object) -> Notify:
    usual: dict[str, object] = {
        "channel": "slack",
        "url": f"{receiver.url}/services/{SECRET}",
        "collect": 0.05,
        "recover_after": 0.1,
        "outbox": {"backoff_first": 0.02, "backoff_max": 0.05},
    }
    return Notify(**{**usual, **options})  # type: ignore[arg-type]  # a test's options


@contextmanager
def running(sink: Notify, connection: Connection, folder: Path) -> Iterator[Registration]:
    with Reactor(connection=connection, checkpoint=folder / "state.db") as reactor:
        registration = reactor.register(
            sink, uid="alerts", rules=[expect.end(within=3600)], replay="none"
        )
        reactor.wait_synced(30)
        yield registration


def waiting(registration: Registration) -> int:
    assert registration.outbox is not None
    return registration.outbox.waiting


def sent(registration: Registration) -> int:
    assert registration.outbox is not None
    return registration.outbox.sent


def fail(engine: FakeEngine, count: int = 1, text: str = "disk full") -> None:
    for _ in range(count):
        engine.fail("s", engine.add_task("s"), text)


def texts(receiver: WebReceiver) -> list[str]:
    return [one["text"] for one in receiver.bodies]


def named(receiver: WebReceiver) -> int:
    """Return how many failures the messages name."""
    return sum(int(one.split(" ")[0]) for one in texts(receiver) if " failed: " in one)


def test_it_is_found_by_its_name() -> None:
    (info,) = [one for one in discover() if one.name == "notify"]
    assert (info.distribution, info.problem) == ("flamepy-notify", None)


def test_failures_are_one_message(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    with running(notify(receiver, collect=1.0), connection, tmp_path) as registration:
        fail(engine, 3, "disk <full>")
        fail(engine, 2, "timeout")
        eventually(lambda: named(receiver) == 5, "every failure")
        eventually(lambda: waiting(registration) == 0, "an empty outbox")
    assert texts(receiver)[0].startswith(
        "5 tasks of render failed: disk &lt;full&gt; (3), timeout (2)\n"
    )
    assert receiver.paths[0] == f"/services/{SECRET}"


def test_a_recovery_is_said_once_also_after_a_restart(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    with running(notify(receiver), connection, tmp_path) as registration:
        fail(engine)
        eventually(lambda: named(receiver) == 1, "the failure")
        eventually(lambda: waiting(registration) == 0, "an empty outbox")
    with running(notify(receiver), connection, tmp_path) as registration:
        for _ in range(3):
            engine.succeed("s", engine.add_task("s"))
        eventually(lambda: len(receiver.bodies) == 2, "the recovery")
        eventually(lambda: waiting(registration) == 0, "an empty outbox")
    assert texts(receiver)[1].startswith("render has recovered")
    assert len(receiver.bodies) == 2


def test_while_nothing_is_wrong_a_success_is_not_stored(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    with running(notify(receiver), connection, tmp_path) as registration:
        engine.succeed("s", engine.add_task("s"))
        eventually(lambda: sent(registration) and not waiting(registration), "the first one")
        before, handled = sent(registration), registration.stats.delivered
        for _ in range(5):
            engine.succeed("s", engine.add_task("s"))
        eventually(lambda: registration.stats.delivered >= handled + 5, "all of them")
        assert sent(registration) + waiting(registration) <= before + 1, "the first may still end"


def test_nothing_is_lost_while_the_service_is_down(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    receiver.answers = [Answer(status) for status in (500, 429, 503, 502)]
    with running(notify(receiver), connection, tmp_path) as registration:
        fail(engine, 3)
        eventually(lambda: named(receiver) == 3, "every failure")
        eventually(lambda: waiting(registration) == 0, "an empty outbox")
    assert receiver.requests > 4


def test_what_is_over_the_rate_limit_is_grouped_and_not_lost(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    options = {"rate_limit": "1/second", "collect": 0.0}
    with running(notify(receiver, **options), connection, tmp_path) as registration:
        for _ in range(20):
            fail(engine)
            threading.Event().wait(0.02)
        eventually(lambda: named(receiver) == 20, "every failure")
        eventually(lambda: waiting(registration) == 0, "an empty outbox")
        assert registration.outbox is not None
        assert registration.outbox.retries == 0, "to wait is no failure"
    assert len(receiver.bodies) < 10


def test_in_quiet_hours_nothing_is_sent_and_nothing_is_lost(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    hour = datetime.now(timezone.utc)
    now, later = hour.hour, (hour + timedelta(hours=1)).hour
    quiet = notify(receiver, quiet_hours=f"* {now},{later} * * *")
    with running(quiet, connection, tmp_path) as registration:
        fail(engine, 3)
        eventually(lambda: waiting(registration) == 3, "the outbox to have them")
    assert receiver.bodies == []
    with running(notify(receiver), connection, tmp_path) as registration:
        eventually(lambda: named(receiver) == 3, "every failure, now that no hour is quiet")
        eventually(lambda: waiting(registration) == 0, "an empty outbox")
    assert len(receiver.bodies) == 1


def test_a_url_that_was_revoked_disables_and_keeps(
    engine: FakeEngine,
    connection: Connection,
    receiver: WebReceiver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.usual = Answer(404)
    with running(notify(receiver), connection, tmp_path) as registration:
        fail(engine)
        eventually(lambda: registration.outbox and registration.outbox.disabled, "that it is off")
        assert waiting(registration) == 1
    assert "slack (127.0.0.1) answered 404: the URL is wrong, or was revoked" in caplog.text
    assert receiver.requests == 1
    receiver.usual = Answer()
    with running(notify(receiver), connection, tmp_path):
        eventually(lambda: named(receiver) == 1, "the failure, after a restart")


def test_a_message_that_is_refused_becomes_dead_letters(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    receiver.usual = Answer(400)
    with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
        reactor.register(notify(receiver), uid="alerts")
        reactor.wait_synced(30)
        fail(engine, 2)
        eventually(lambda: len(reactor.dead_letters.list("alerts")) == 2, "two letters")
        letters = reactor.dead_letters.list("alerts")
    assert "slack (127.0.0.1) answered 400" in letters[0].error
    assert SECRET not in repr(letters)


def test_a_dry_run_logs_and_sends_nothing(
    engine: FakeEngine,
    connection: Connection,
    receiver: WebReceiver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "flamepy.notify")
    with running(notify(receiver, dry_run=True), connection, tmp_path) as registration:
        fail(engine)
        eventually(lambda: "dry run, to slack (127.0.0.1): 1 task of render" in caplog.text, "it")
        eventually(lambda: waiting(registration) == 0, "an empty outbox")
    assert receiver.requests == 0


def test_a_template_is_filled_with_escaped_values(
    engine: FakeEngine, connection: Connection, receiver: WebReceiver, tmp_path: Path
) -> None:
    templates = {"failed": "*{scope}* {{x}}\n{summary}"}
    with running(notify(receiver, templates=templates), connection, tmp_path):
        fail(engine, 1, "<!channel> {scope.__class__} {summary}")
        eventually(lambda: receiver.bodies, "the message")
    assert texts(receiver) == ["*render* {x}\n&lt;!channel&gt; {scope.__class__} {summary} (1)"]


def test_the_secret_is_in_the_request_and_nowhere_else(
    engine: FakeEngine,
    connection: Connection,
    receiver: WebReceiver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [Answer(500), Answer(302, {"Location": receiver.url}), Answer(200)]
    sink = notify(receiver)
    with running(sink, connection, tmp_path) as registration:
        fail(engine)
        eventually(lambda: registration.outbox and registration.outbox.disabled, "the redirect")
        shown = (
            repr(sink) + repr(vars(sink)) + repr(vars(sink._channel)) + repr(registration.outbox)
        )
    assert set(receiver.paths) == {f"/services/{SECRET}"}
    stored = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert SECRET not in shown + caplog.text
    assert SECRET.encode() not in stored


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"channel": "pager"}, "channel must be one of slack, teams, discord, mail"),
        ({"url": ""}, "needs url, which is a secret"),
        ({"url": f"ftp://{SECRET}"}, "https:// URL"),
        ({"channel": "mail", "url": "smtp://me:canary@h"}, "plain address"),
        ({"channel": "mail", "url": "smtp://me:canary@h", "sender": "a@b"}, "at least one"),
        ({"group_by": "task"}, "group_by must be one of"),
        ({"collect": -1}, "collect must be"),
        ({"collect": "soon"}, "collect must be"),
        ({"rate_limit": "many"}, "rate_limit"),
        ({"quiet_hours": ["22-6"]}, "quiet_hours"),
        ({"quiet_hours": [7]}, "quiet_hours must be a text or a list of texts"),
        ({"timezone": "Mars"}, "timezone"),
        ({"recover": "yes"}, "recover must be true or false"),
        ({"recover_after": 0}, "recover_after must be"),
        ({"templates": {"other": ""}}, "templates has 'other'"),
        ({"templates": {"failed": "{x}"}}, "the template failed"),
        ({"timeout": 0}, "timeout must be"),
        ({"outbox": {"senders": 2}}, "senders must be 1"),
        ({"outbox": {"what": 2}}, "outbox has no option 'what'"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, object], text: str) -> None:
    usual: dict[str, object] = {"channel": "slack", "url": "https://hooks.example.org/x"}
    with pytest.raises(InvalidArgumentError, match=text) as caught:
        Notify(**{**usual, **options})  # type: ignore[arg-type]  # a test's options
    assert "canary" not in str(caught.value)


def test_it_bears_everything_that_engines_do(receiver: WebReceiver) -> None:
    check_informer(lambda: notify(receiver, durable=False))
