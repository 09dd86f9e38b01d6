"""What a stream gets, and what becomes of entries that it does not take."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import pytest
import trustme
from flamepy_nats import Nats
from nats.js import api
from servers import Server

from flamepy.errors import InvalidArgumentError
from flamepy.informers import EventKind, OutboxEntry, TaskEvent, TemporaryError
from flamepy.types import Task, TaskState

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
SECRET = "s3cr3t-canary"
T = TypeVar("T")


def entry(number: int, application: str = "render") -> OutboxEntry:
    task = Task(str(number), "s1", TaskState.SUCCEED, AT, output=b"payload-canary")
    event = TaskEvent(kind=EventKind.UPDATED, task=task, application=application)
    return OutboxEntry(id=number, key=event.key, event=event, created=AT)


def use(sink: Nats, act: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine as the sink's own loop does, and close the sink."""

    async def run() -> T:
        try:
            return await act()
        finally:
            await sink.close()

    return asyncio.run(run())


def send(sink: Nats, *numbers: int, application: str = "render") -> list[tuple[str, str]]:
    """Send entries; return kind and text of their outcomes."""
    batch = [entry(number, application) for number in numbers]
    outcomes = use(sink, lambda: sink.send(batch))
    return [(one.kind.value, one.text) for one in outcomes]


def test_a_message_has_the_key_as_its_id_and_no_payload(server: Server) -> None:
    server.create()
    sink = Nats(url=server.url)
    assert send(sink, 1, 2) == [("sent", "")] * 2
    messages = server.messages()
    assert [one[0] for one in messages] == ["flame.render.task.succeed"] * 2
    assert {one[1] for one in messages} == {entry(1).key, entry(2).key}
    event = entry(int(messages[0][2]["task"])).event.to_dict()
    assert messages[0][2] == {name: one for name, one in event.items() if name != "lag"}
    assert "payload-canary" not in str(messages)


def test_what_is_published_again_is_dropped_by_the_stream(server: Server) -> None:
    server.create()
    for _ in range(3):
        assert send(Nats(url=server.url), 1, 2) == [("sent", "")] * 2
    assert len(server.messages()) == 2


def test_an_application_cannot_leave_its_token(server: Server) -> None:
    server.create(subjects=["flame.*.task.*"])
    assert send(Nats(url=server.url), 1, application="a.>.b *") == [("sent", "")]
    assert server.messages()[0][0] == "flame.a%2E%3E%2Eb%20%2A.task.succeed"


def test_a_missing_stream_is_named_with_a_way_out(server: Server) -> None:
    sink = Nats(url=server.url)
    ((kind, text),) = send(sink, 1)
    assert kind == "retry"
    assert "no stream takes the subject 'flame.render.task.succeed': create one" in text
    server.create()
    assert send(Nats(url=server.url), 1) == [("sent", "")]


def test_another_stream_than_the_expected_one_is_named(server: Server) -> None:
    server.create("OTHER")
    ((kind, text),) = send(Nats(url=server.url, stream="FLAME"), 1)
    assert (kind, "is not of the stream 'FLAME'" in text) == ("retry", True)
    assert send(Nats(url=server.url, stream="OTHER"), 1) == [("sent", "")]


def test_what_is_too_large_for_the_stream_is_refused(server: Server) -> None:
    server.create(max_msg_size=200)
    ((kind, text),) = send(Nats(url=server.url), 1)
    assert (kind, "does not take it" in text) == ("refused", True)


def test_a_full_stream_is_tried_again(server: Server) -> None:
    server.create(max_msgs=1, discard=api.DiscardPolicy.NEW)
    outcomes = send(Nats(url=server.url), 1, 2)
    assert sorted(kind for kind, _ in outcomes) == ["retry", "sent"]


def test_a_server_that_is_away_is_tried_again(server: Server) -> None:
    server.kill()
    sink = Nats(url=server.url, timeout=0.5)
    with pytest.raises(
        TemporaryError, match=rf"cannot connect to NATS at 127.0.0.1:{server.port}: "
    ):
        send(sink, 1)


def test_a_lost_connection_comes_back_by_itself(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.create()
    sink = Nats(url=server.url, timeout=5)

    async def attempt(number: int) -> str:
        try:
            return (await sink.send([entry(number)]))[0].kind.value
        except TemporaryError as error:
            return str(error)

    async def over_a_restart() -> list[str]:
        kinds = [await attempt(1)]
        await asyncio.to_thread(server.kill)
        while "not connected" not in kinds[-1]:  # until the client has seen it
            kinds.append(await attempt(2))
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.start)
        while kinds[-1] != "sent":
            kinds.append(await attempt(2))
            await asyncio.sleep(0.01)
        return kinds

    with caplog.at_level(logging.WARNING, "flamepy.nats"):
        kinds = use(sink, over_a_restart)
    assert (kinds[0], kinds[-1]) == ("sent", "sent")
    assert {one[1] for one in server.messages()} == {entry(1).key, entry(2).key}
    said = [one.getMessage() for one in caplog.records if one.name == "flamepy.nats"]
    assert any("the connection is lost" in one for one in said)
    assert any("connected again" in one for one in said)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, "--user", "me", "--pass", SECRET)
    yield made
    made.kill()


def test_a_password_is_in_the_url_and_nowhere_else(
    server: Server, locked: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    locked.start()
    where = f"127.0.0.1:{locked.port}"
    with caplog.at_level(logging.DEBUG):
        locked.ask(
            lambda stream: stream.add_stream(name="FLAME", subjects=["flame.>"]),
            f"nats://me:{SECRET}@{where}",
        )
        assert send(Nats(url=f"nats://me:{SECRET}@{where}"), 1) == [("sent", "")]
        sink = Nats(url=f"nats://me:wrong-{SECRET}@{where}", timeout=1)
        with pytest.raises(TemporaryError, match="Authorization Violation") as caught:
            send(sink, 1)
    assert SECRET not in str(caught.value) + caplog.text + repr(sink) + repr(vars(sink))


def test_the_close_after_a_refusal_does_not_hide_it() -> None:
    """The first connection gets the reason; the next ones are reset before they can read it."""

    def serve(listener: socket.socket) -> None:
        refusal, accepted = b"-ERR 'Authorization Violation'\r\n", 0
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                accepted += 1
                peer.sendall(b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576}\r\n')
                peer.recv(4096)
                if accepted == 1:
                    peer.sendall(refusal)
                else:
                    resets = struct.pack("ii", 1, 0)
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, resets)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            sink = Nats(url=f"nats://127.0.0.1:{listener.getsockname()[1]}", timeout=3)
            with pytest.raises(TemporaryError, match="Authorization Violation"):
                send(sink, 1)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_server_with_tls(server: Server, tmp_path: Path) -> None:
    server.kill()
    authority = trustme.CA()
    files = {name: str(tmp_path / name) for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    one = authority.issue_cert("127.0.0.1")
    one.cert_chain_pems[0].write_to_path(files["cert"])
    one.private_key_pem.write_to_path(files["key"])
    server.start("--tls", "--tlscert", files["cert"], "--tlskey", files["key"])
    sink = Nats(url=f"tls://127.0.0.1:{server.port}", ca_file=files["ca"])
    ((kind, text),) = send(sink, 1)
    assert (kind, "no stream takes" in text) == ("retry", True), "it is connected"
    untrusting = Nats(url=f"tls://127.0.0.1:{server.port}", timeout=1)
    with pytest.raises(TemporaryError, match="certificate"):
        send(untrusting, 1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"url": f"http://me:{SECRET}@h"}, "url must be nats://"),
        ({"url": f"nats://me:{SECRET}@h:x"}, "url must be nats://"),
        ({"url": SECRET}, "url must be nats://"),
        ({"url": []}, "at least one server"),
        ({"url": "nats://h", "timeout": 0}, "timeout must be"),
        ({"url": "nats://h", "subject": "a.{b}"}, "subject"),
        ({"url": "nats://h", "key_file": "k"}, "key_file needs cert_file"),
        ({"url": "nats://h", "ca_file": "/nowhere"}, "cannot use the certificates"),
        ({"url": "nats://h", "outbox": {"batch": 1}}, "outbox has no option"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text) as caught:
        Nats(**options)  # type: ignore[arg-type]  # that is the test
    assert SECRET not in str(caught.value)


def test_several_servers_are_one_cluster(server: Server) -> None:
    server.create()
    sink = Nats(url=["nats://127.0.0.1:1", server.url])
    assert send(sink, 1) == [("sent", "")]
    assert len(server.messages()) == 1
