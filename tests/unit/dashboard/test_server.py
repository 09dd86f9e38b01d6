"""The server answers pages, streams and questions; it changes something only where allowed."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pages import Stream, ask
from support.waiting import eventually

from flamepy.dashboard import Dashboard
from flamepy.dashboard.documents import PAGES
from flamepy.errors import InvalidArgumentError, UnavailableError
from flamepy.informers import Reactor, TaskInformer
from flamepy.testing import FakeEngine

TOKEN = "a-token-of-more-than-16"


class Failing(TaskInformer):
    def on_failed(self, event: object) -> None:
        raise ValueError("cannot")


@pytest.fixture
def engine(fake_engine: FakeEngine) -> FakeEngine:
    fake_engine.add_session("s")
    for _ in range(3):
        fake_engine.add_task("s", b'{"n": 1}')
    fake_engine.start("s", "1")
    fake_engine.fail("s", "1", "<script>alert(1)</script> disk 7")
    return fake_engine


@pytest.fixture
def reactor(engine: FakeEngine, tmp_path: Path) -> Iterator[Reactor]:
    made = Reactor(
        endpoint=engine.endpoint, plugins=(), poll_interval=0.02, checkpoint=tmp_path / "state"
    )
    made.register(Failing(), uid="mail")
    yield made
    made.stop()


@pytest.fixture
def port(reactor: Reactor) -> Iterator[int]:
    with Dashboard(reactor, port=0, allow_actions=True) as served:
        reactor.start()
        yield served.port


def page(port: int, name: str, **words: str) -> Any:
    query = "&".join(f"{key}={value}" for key, value in {"page": name, **words}.items())
    return ask(port, f"/api/page?{query}")[1]


def known(port: int) -> None:
    eventually(lambda: page(port, "overview")["top"]["observed"]["failed"] == 1, "the failure")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_a_document_and_an_address(port: int, name: str) -> None:
    known(port)
    made = page(port, name, session="s", task="1")
    assert made["top"]["counts"]["failed"] == 1
    json.dumps(made, allow_nan=False)
    status, text, headers = ask(port, f"/{name}")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<script>" not in text
    assert "default-src 'none'" in headers["content-security-policy"]


def test_a_stream_sends_the_document_then_changes_and_continues(
    port: int, engine: FakeEngine
) -> None:
    known(port)
    stream = Stream(port, "page=session&session=s")
    kind, document = stream.next("document", "change")
    assert kind == "document"
    assert document["session"]["counts"]["failed"] == 1
    engine.start("s", "2")
    assert stream.next("document", "change")[0] == "change"
    last = stream.last
    stream.close()
    engine.succeed("s", "2", b"")
    again = Stream(port, "page=session&session=s", last_event_id=last)
    assert again.next("document", "change")[0] == "change"
    again.close()
    by_address = Stream(port, f"page=session&session=s&last={last}")
    assert by_address.next("document", "change")[0] == "change"
    by_address.close()
    fresh = Stream(port, "page=session&session=s&last=0000.1")
    assert fresh.next("document", "change")[0] == "document"
    fresh.close()


def test_wrong_words_are_said(port: int) -> None:
    assert ask(port, "/api/page?page=nothing")[0] == 400
    status, body, _ = ask(port, "/api/page?page=tasks&sort=size")
    assert status == 400
    assert "sort must be one of id" in body["error"]
    assert ask(port, "/api/page?page=tasks&limit=1e9")[0] == 400
    assert ask(port, "/api/page?page=overview&span=1y")[0] == 400
    assert ask(port, "/api/stream?page=nothing")[0] == 400
    stream = Stream(port, "page=tasks&sort=size")
    assert "sort must be one of id" in stream.next("failed")[1]
    stream.close()


def test_a_task_with_its_events_and_payload(port: int) -> None:
    known(port)
    status, body, _ = ask(port, "/api/task?session=s&task=1")
    assert status == 200
    assert body["error"] == "<script>alert(1)</script> disk 7"
    assert [one["state"] for one in body["events"]][-1] == "failed"
    assert body["key"].startswith("s/1@")
    assert body["key"].endswith("/failed")
    assert body["input_size"] == 8
    shown = ask(port, "/api/preview?session=s&task=1&of=input")[1]
    assert (shown["kind"], shown["size"]) == ("json", 8)
    assert ask(port, "/api/preview?session=s&task=1&of=memory")[0] == 400
    assert ask(port, "/api/task?session=s&task=99")[0] == 404
    assert ask(port, "/api/task?session=s&task=x")[0] == 400
    explained = ask(port, "/api/explain?session=s&task=1")[1]
    assert [one["name"] for one in explained["handlers"]] == ["mail"]


def test_dead_letters_are_shown_and_handled_again(port: int, reactor: Reactor) -> None:
    known(port)
    eventually(lambda: ask(port, "/api/deadletters")[1]["total"] == 1, "the letter")
    letter = ask(port, "/api/deadletters")[1]["rows"][0]
    assert (letter["informer"], letter["error"]) == ("mail", "ValueError: cannot")
    status, body, _ = ask(port, "/api/actions/deadletters/retry", {"ids": [letter["id"]]})
    assert (status, body["text"]) == (200, "1 will be handled again")
    assert ask(port, "/api/actions/deadletters/drop", {"ids": [letter["id"]]})[0] == 200
    assert ask(port, "/api/actions/deadletters/retry", {"ids": "all"})[0] == 400


def test_informers_are_paused_and_resumed(port: int, reactor: Reactor) -> None:
    (one,) = reactor.registrations
    assert ask(port, "/api/actions/handler/pause", {"name": "mail", "reason": "tests"})[0] == 200
    assert one.state == "paused: tests"
    rows = page(port, "handlers")["rows"]
    assert [row["name"] for row in rows] == ["mail"]
    assert ask(port, "/api/actions/handler/resume", {"name": "mail"})[0] == 200
    assert one.state == "active"
    status, body, _ = ask(port, "/api/actions/handler/pause", {"name": "post"})
    assert (status, body["error"]) == (
        404,
        "there is no handler 'post'; there are: mail",
    )
    assert ask(port, "/api/actions/handler/pause", {})[0] == 400
    assert ask(port, "/api/actions/handler/burn", {})[0] == 404


def test_sessions_are_closed_and_deleted(port: int, engine: FakeEngine) -> None:
    known(port)
    assert ask(port, "/api/actions/session/delete", {"session": "s"})[0] == 409
    assert ask(port, "/api/actions/session/close", {"session": "s"})[0] == 200
    assert ask(port, "/api/actions/session/delete", {"session": "s"})[0] == 200
    eventually(lambda: page(port, "sessions")["total"] == 0, "the session is gone")
    assert ask(port, "/api/actions/session/close", {"session": "none"})[0] == 404


def test_nothing_is_changed_where_that_is_not_allowed(reactor: Reactor) -> None:
    with Dashboard(reactor, port=0) as served:
        reactor.start()
        eventually(lambda: page(served.port, "sessions")["total"] == 1, "the session")
        for action in ("session/close", "session/delete", "handler/pause", "deadletters/drop"):
            status, body, _ = ask(served.port, f"/api/actions/{action}", {"session": "s"})
            assert (status, body["error"]) == (
                403,
                "this server only shows; start it with --allow-actions",
            )
        assert page(served.port, "session", session="s")["session"]["state"] == "open"
        assert ask(served.port, "/api/about")[1]["actions"] is False


def test_a_body_that_is_too_long_or_no_object_is_refused(port: int) -> None:
    assert ask(port, "/api/actions/session/close", {"session": "x" * 100_000})[0] == 400
    assert ask(port, "/api/actions/session/close", [1])[0] == 400


def test_without_the_token_only_the_page_that_asks_for_it(reactor: Reactor) -> None:
    with Dashboard(reactor, port=0, token=TOKEN) as served:
        port = served.port
        assert TOKEN not in served.url + repr(served)
        assert ask(port, "/")[0] == 200
        assert ask(port, "/static/app.js")[0] == 200
        for path in ("/api/about", "/api/page?page=overview", "/api/stream?page=overview"):
            assert ask(port, path)[0] == 401
        assert ask(port, "/api/about", authorization=f"Bearer {TOKEN}")[0] == 200
        assert ask(port, "/login", {"token": TOKEN[:-1]})[0] == 401
        assert ask(port, "/login", {"token": 7})[0] == 401
        status, _, headers = ask(port, "/login", {"token": TOKEN})
        cookie = headers["set-cookie"]
        assert status == 200
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert TOKEN not in cookie
        assert ask(port, "/api/about", cookie=cookie.partition(";")[0])[0] == 200


def test_other_hosts_and_origins_are_refused(port: int) -> None:
    assert ask(port, "/", host="evil.example")[0] == 403
    assert ask(port, "/api/page?page=tasks", origin="http://evil.example")[0] == 403
    assert ask(port, "/api/actions/session/close", {}, origin="http://evil.example")[0] == 403
    assert ask(port, "/api/actions/session/close", method="POST")[0] == 403
    assert ask(port, "/static/../server.py")[0] == 404
    assert ask(port, "/static/%2e%2e%2fserver.py")[0] == 404
    assert ask(port, "/static/nothing.js")[0] == 404


def test_files_are_checked_again_and_not_sent_again(port: int) -> None:
    _, _, headers = ask(port, "/static/style.css")
    assert ask(port, "/static/style.css", if_none_match=headers["etag"])[0] == 304


def test_an_address_of_other_machines_needs_a_token(reactor: Reactor) -> None:
    with pytest.raises(InvalidArgumentError, match=r"host '0\.0\.0\.0' can be reached from other"):
        Dashboard(reactor, host="0.0.0.0")
    with Dashboard(reactor, host="0.0.0.0", port=0, token=TOKEN) as served:
        assert served.url == f"http://127.0.0.1:{served.port}/"


def test_a_port_that_is_taken_is_said(reactor: Reactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken_port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{taken_port}"):
            Dashboard(reactor, port=taken_port).start()


def test_it_works_while_the_engine_is_away(port: int, engine: FakeEngine) -> None:
    known(port)
    engine.kill()
    eventually(lambda: page(port, "overview")["top"]["away_for"] is not None, "the outage")
    top = page(port, "overview")["top"]
    assert top["away_reason"]
    assert top["counts"]["failed"] == 1, "what is known stays"
    engine.restart()
    eventually(lambda: page(port, "overview")["top"]["away_for"] is None, "the end of it")


def test_it_stops_with_open_streams_and_leaves_no_thread(reactor: Reactor) -> None:
    served = Dashboard(reactor, port=0).start()
    reactor.start()
    stream = Stream(served.port, "page=overview")
    stream.next("document")
    served.stop()
    served.stop()
    assert stream.next("bye")[0] in ("bye", "")
    stream.close()
    names = [one.name for one in threading.enumerate()]
    assert "flamepy-dashboard" not in names
    eventually(
        lambda: not any("dashboard" in one.name for one in threading.enumerate()), "the end of all"
    )


def test_the_charts_continue_after_a_restart(reactor: Reactor, tmp_path: Path) -> None:
    history = tmp_path / "charts"
    reactor.start()

    def seen(served: Dashboard) -> int:
        values = page(served.port, "overview")["series"]["values"]["pending"]
        return sum(one is not None for one in values)

    with Dashboard(reactor, port=0, history=history) as served:
        eventually(lambda: seen(served) >= 2, "two seconds of it")
    assert history.exists()
    with Dashboard(reactor, port=0, history=history) as served:
        assert seen(served) >= 2
        assert page(served.port, "overview")["restored"] >= 0


def test_a_history_that_cannot_be_read_is_said(
    reactor: Reactor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history = tmp_path / "charts"
    history.write_text("{}")
    with caplog.at_level(logging.WARNING), Dashboard(reactor, port=0, history=history) as served:
        assert page(served.port, "overview")["restored"] == 0
    assert "cannot be read" in caplog.text


def test_further_addresses_are_answered_by_whom_they_belong_to(reactor: Reactor) -> None:
    def other(method: str, path: str, words: object, token: str) -> tuple[int, bytes] | None:
        return (200, f'"{method} {path} {token}"'.encode()) if path != "/api/about" else None

    with Dashboard(reactor, port=0, other=other) as served:
        assert ask(served.port, "/healthz")[1] == "GET /healthz "
        assert ask(served.port, "/handlers", authorization="Bearer t")[1] == "GET /handlers t"
        assert ask(served.port, "/handlers")[2]["content-type"].startswith("text/html")
        assert ask(served.port, "/api/about", authorization="Bearer t")[0] == 200
