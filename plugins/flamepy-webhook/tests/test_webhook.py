"""The plugin with a real reactor, cluster and receiver; and what each answer makes of a batch."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flamepy_webhook import Webhook
from receiver import Answer, Received, Receiver, raw_server
from samples import entry, task, task_event
from standardwebhooks import Webhook as Verifier

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import TaskFailedError
from flamepy.informers import OutboxEntry, Outcome, Reactor
from flamepy.informers.plugins.loading import discover
from flamepy.local import LocalCluster
from flamepy.testing import check_informer

SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
FAST = {"backoff_first": 0.01, "backoff_max": 0.05, "flush_timeout": 60.0}
WAIT = 60.0  # seconds


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError('no "good"')
        return b"fine"


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster() as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("app", Service)
        yield made


def work(connection: Connection, tasks: int = 20) -> None:
    """Run a session of tasks, one of which fails."""
    with connection.create_session("app", session_id="s") as session:
        futures = [session.run(b"good") for _ in range(tasks - 1)]
        with pytest.raises(TaskFailedError):
            session.invoke(b"bad", timeout=WAIT)
        for future in futures:
            future.result(timeout=WAIT)


def webhook(url: str, **options: Any) -> Webhook:
    return Webhook(**{"url": url, "allow_private": True, "outbox": FAST, **options})


def deliver(connection: Connection, sink: Webhook, folder: Path, tasks: int = 20) -> None:
    """Have a reactor with a checkpoint deliver what a session's tasks do."""
    with Reactor(connection=connection, checkpoint=folder / "checkpoint.db") as reactor:
        reactor.register(sink, uid="hook").wait_synced(timeout=WAIT)
        work(connection, tasks)
        reactor.wait_synced(timeout=WAIT)


def verified(request: Received, secret: str = SECRET) -> Any:
    return Verifier(secret).verify(request.body, request.headers)


def send(sink: Webhook, *entries: OutboxEntry) -> list[Outcome]:
    outcomes = sink.send(entries)
    sink.close()
    return list(outcomes)


def entries(count: int, *, age: float = 0.0) -> list[OutboxEntry]:
    stored = datetime.now(timezone.utc) - timedelta(seconds=age)
    made = [entry(task_event(task=task(task_id=str(n))), n) for n in range(1, count + 1)]
    return [replace(one, created=stored) for one in made]


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [str(one.kind.value) for one in outcomes]


def test_it_is_found_by_its_name() -> None:
    (info,) = [one for one in discover() if one.name == "webhook"]
    assert (info.distribution, info.problem) == ("flamepy-webhook", None)


def test_every_event_arrives_signed_and_once_and_in_order(
    connection: Connection, tmp_path: Path
) -> None:
    with Receiver() as receiver:
        deliver(connection, webhook(receiver.url, secret=SECRET), tmp_path)
    got = [verified(one) for one in receiver.requests]
    ids = [one["id"] for one in got]
    assert len(ids) == len(set(ids))
    assert [one.headers["webhook-id"] for one in receiver.requests] == ids
    types = Counter(one["type"] for one in got)
    assert (types["flame.task.succeed"], types["flame.task.failed"]) == (19, 1)
    assert (types["flame.session.opened"], types["flame.session.closed"]) == (1, 1)
    (failed,) = [one for one in got if one["type"] == "flame.task.failed"]
    assert failed["data"]["error"] == 'no "good"'
    assert {one["source"] for one in got} == {failed["data"]["endpoint"]}
    for task_id in {one["data"].get("task") for one in got}:
        of_it = [one["sequence"] for one in got if one["data"].get("task") == task_id]
        assert of_it == sorted(of_it)


def test_what_fails_is_sent_again_with_its_id_until_it_is_accepted(
    connection: Connection, tmp_path: Path
) -> None:
    lock = threading.Lock()
    accepted: list[Received] = []
    count = 0

    def answer(request: Received) -> Answer:
        nonlocal count
        with lock:
            count += 1
            if count % 3 == 0:
                return Answer(500)
            accepted.append(request)
            return Answer()

    with Receiver(answer) as receiver:
        sink = webhook(receiver.url, secret=SECRET, outbox={**FAST, "senders": 3})
        deliver(connection, sink, tmp_path)
    got = [verified(one) for one in accepted]
    types = Counter(one["type"] for one in got)
    assert (types["flame.task.succeed"], types["flame.task.failed"]) == (19, 1)
    assert len({one["id"] for one in got}) == len(got)
    assert {one["id"] for one in got} == {json.loads(r.body)["id"] for r in receiver.requests}
    for task_id in {one["data"].get("task") for one in got}:
        of_it = [one["sequence"] for one in got if one["data"].get("task") == task_id]
        assert of_it == sorted(of_it)


def test_a_batch_is_one_request(connection: Connection, tmp_path: Path) -> None:
    with Receiver() as receiver:
        deliver(connection, webhook(receiver.url, secret=SECRET, format="batch"), tmp_path)
    lists = [verified(one) for one in receiver.requests]
    got = [one for some in lists for one in some]
    types = Counter(one["type"] for one in got)
    assert (types["flame.task.succeed"], types["flame.task.failed"]) == (19, 1)
    assert {one.headers["content-type"] for one in receiver.requests} == {
        "application/cloudevents-batch+json"
    }


def test_410_ends_it_with_a_warning_and_a_restart_begins_again(
    connection: Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver(lambda _: Answer(410)) as receiver:
        deliver(connection, webhook(receiver.url), tmp_path)
        assert len(receiver.requests) == 1
    (record,) = [one for one in caplog.records if "disabled" in one.getMessage()]
    assert record.levelno == logging.WARNING
    assert "127.0.0.1: the receiver answered 410" in record.getMessage()
    with Receiver() as receiver:
        sink = webhook(receiver.url)
        with Reactor(connection=connection, checkpoint=tmp_path / "checkpoint.db") as reactor:
            reactor.register(sink, uid="hook").wait_synced(timeout=WAIT)
            assert sink.flush(WAIT)
    types = Counter(json.loads(one.body)["type"] for one in receiver.requests)
    assert (types["flame.task.succeed"], types["flame.task.failed"]) == (19, 1)


def test_it_takes_every_situation() -> None:
    with Receiver() as receiver:
        report = check_informer(lambda: webhook(receiver.url, durable=False), strict=False)
    assert receiver.requests
    # Where nothing is sent nothing is opened, and nothing closed.
    findings = [str(one) for one in report.findings]
    assert [one for one in findings if not one.endswith("close was called 0 times, not once")] == []


# ---------------------------------------------------------------------- one batch


def test_each_answer_is_the_outcome_of_its_event() -> None:
    statuses = iter([204, 500, 200, 404])
    with Receiver(lambda _: Answer(next(statuses))) as receiver:
        made = send(webhook(receiver.url), *entries(4))
    assert kinds(made) == ["sent", "retry", "sent", "retry"]
    assert [one.text for one in made] == [
        "",
        "the receiver answered 500",
        "",
        "the receiver answered 404",
    ]
    assert [one.after for one in made] == [None] * 4


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_the_receiver_asks_for_is_for_all_that_follow(status: int) -> None:
    statuses = iter([204, status])
    said = {"Retry-After": "17"}
    with Receiver(lambda _: Answer(next(statuses), said)) as receiver:
        made = send(webhook(receiver.url), *entries(5))
    assert kinds(made) == ["sent", "retry", *["wait"] * 3]  # those that were not tried just wait
    assert [one.after for one in made] == [None, *[17.0] * 4]
    assert len(receiver.requests) == 2


def test_a_pause_ends_the_halves_of_a_batch_too() -> None:
    statuses = iter([413, 200, 413, 503])
    with Receiver(lambda _: Answer(next(statuses))) as receiver:
        made = send(webhook(receiver.url, format="batch"), *entries(8))
    assert kinds(made) == [*["sent"] * 4, *["retry"] * 2, *["wait"] * 2]
    statuses = iter([413])
    with Receiver(lambda _: Answer(next(statuses), {"Retry-After": "9"})) as receiver:
        made = send(webhook(receiver.url, format="batch"), *entries(8))
    assert {(one.kind.value, one.after) for one in made} == {("retry", 9.0)}


def test_a_receiver_that_does_not_answer_is_tried_once_for_a_batch() -> None:
    connections: list[object] = []
    with raw_server(connections.append) as port:
        made = send(webhook(f"http://127.0.0.1:{port}/"), *entries(5))
    assert kinds(made) == ["retry", *["wait"] * 4]
    assert len(connections) == 1
    assert made[0].after is None
    assert "127.0.0.1" in made[4].text


def test_what_is_too_old_is_given_up_with_what_was_tried() -> None:
    with raw_server(lambda _: None) as port:
        made = send(webhook(f"http://127.0.0.1:{port}/"), *entries(3, age=4 * 86_400))
    assert kinds(made) == ["retry"] * 3


def test_a_name_at_a_private_address_waits_and_says_what_to_do() -> None:
    with Receiver() as receiver:
        url = f"http://localhost:{receiver.port}/"
        made = send(webhook(url, allow_private=["10.0.0.0/8"]), *entries(2))
    assert kinds(made) == ["retry", "wait"]
    assert "not a public address; allow_private" in made[0].text
    assert receiver.requests == []


@pytest.mark.parametrize("status", [400, 413, 422])
def test_of_a_batch_that_is_refused_only_what_is_refused_waits(status: int) -> None:
    def answer(request: Received) -> Answer:
        ids = [one["data"]["task"] for one in json.loads(request.body)]
        return Answer(status if {"3", "7"} & set(ids) else 200)

    with Receiver(answer) as receiver:
        made = send(webhook(receiver.url, format="batch"), *entries(8))
    assert [n for n, one in enumerate(made, 1) if one.kind.value == "retry"] == [3, 7]


def test_a_batch_that_fails_waits_whole() -> None:
    with Receiver(lambda _: Answer(500)) as receiver:
        made = send(webhook(receiver.url, format="batch"), *entries(8))
    assert kinds(made) == ["retry"] * 8
    assert len(receiver.requests) == 1


def test_each_attempt_has_a_time_of_its_own_and_the_same_id() -> None:
    with Receiver(lambda _: Answer(500)) as receiver:
        sink = webhook(receiver.url, secret=[SECRET, SECRET])
        send(sink, *entries(1))
        send(sink, *entries(1))
    one, two = receiver.requests
    assert (one.headers["webhook-id"], one.body) == (two.headers["webhook-id"], two.body)
    assert int(one.headers["webhook-timestamp"]) <= int(two.headers["webhook-timestamp"])
    assert len(one.headers["webhook-signature"].split()) == 2
    verified(one)
    verified(two)


def test_without_a_secret_nothing_is_signed() -> None:
    with Receiver() as receiver:
        send(webhook(receiver.url), *entries(1))
    assert "webhook-signature" not in receiver.requests[0].headers
    assert "webhook-id" in receiver.requests[0].headers


def test_the_format_binary_has_attributes_as_fields() -> None:
    with Receiver() as receiver:
        send(webhook(receiver.url, format="binary", secret=SECRET), *entries(1))
    (got,) = receiver.requests
    assert got.headers["ce-type"] == "flame.task.failed"
    assert got.headers["ce-subject"] == "sessions/s%252F1/tasks/1"  # percent-encoded once more
    assert got.headers["content-type"] == "application/json"
    assert verified(got)["error"] == "disk full"


def test_a_template_and_headers_are_sent_as_given() -> None:
    with Receiver() as receiver:
        sink = webhook(
            receiver.url,
            format="template",
            template="text=$error&task=$task",
            content_type="application/x-www-form-urlencoded",
            headers={"Authorization": "Bearer x", "User-Agent": "mine"},
        )
        send(sink, *entries(1))
    (got,) = receiver.requests
    assert got.body == b"text=disk+full&task=1"
    assert got.headers["authorization"] == "Bearer x"
    assert got.headers["user-agent"] == "mine"
    assert got.headers["content-type"] == "application/x-www-form-urlencoded"
