"""The port of ``flamepy run`` shows and steers handlers, for clients that have the token."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from flamepy.cli.commands import flamepy
from flamepy.cli.serving import control
from flamepy.cli.serving.control import Body, ask, make_act, make_token, token_file
from flamepy.cli.serving.health import HealthServer
from flamepy.errors import ConfigError, InvalidStateError, UnavailableError


@dataclass
class Made:
    name: str
    reason: str | None = None
    gate: threading.Event = field(default_factory=threading.Event)

    def describe(self) -> Body:
        state = "active" if self.reason is None else f"paused: {self.reason}"
        return {
            **{"name": self.name, "state": state, "queued": 3, "oldest_age": 75.04},
            **{
                "running_for": 130.0,
                "stuck": 1,
                "delivered": 9,
                "failures": 1,
                "retries": 2,
                "dead": 0,
            },
        }

    def pause(self, reason: str) -> None:
        if self.name == "stuck":
            self.gate.wait(30)
        if reason == "refuse":
            raise InvalidStateError("it has been removed")
        self.reason = reason

    def resume(self) -> None:
        self.reason = None


class Well:
    live = ready = True

    def to_dict(self) -> dict[str, object]:
        return {"live": True}


@pytest.fixture
def handlers() -> Iterator[list[Made]]:
    made = [Made("bills"), Made("a b/ü"), Made("stuck")]
    yield made
    made[2].gate.set()


@pytest.fixture
def address(handlers: list[Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv(control.VARIABLE, raising=False)
    token: list[str] = []

    def explain(session: str, task: str | None) -> Body:
        return {
            "text": f"{session}/{task}: succeed",
            "observed": ["pending, by poll"],
            "handlers": [{"name": "bills", "text": "delivered", "steps": ["queued", "delivered"]}],
        }

    server = HealthServer(
        "127.0.0.1",
        0,
        Well,
        lambda request: make_act(lambda: handlers, explain, token[0])(request),
    )
    made, _ = make_token(server.port)
    token.append(made)
    server.start()
    yield f"127.0.0.1:{server.port}"
    server.stop()


def run(address: str, arguments: list[str]) -> tuple[int, str, str]:
    done = CliRunner().invoke(flamepy, [*arguments, "--http", address])
    return done.exit_code, done.stdout, done.stderr


def test_they_are_listed_paused_and_resumed(address: str, handlers: list[Made]) -> None:
    shown = run(address, ["handlers", "list", "--table"])[1]
    titles, bills, *_ = (line.split() for line in shown.splitlines())
    assert " ".join(titles) == "NAME STATE QUEUED OLDEST AGE RUNNING FOR STUCK FAILURES OUTBOX"
    assert bills == ["bills", "active", "3", "75s", "2m", "1", "1"], shown
    assert run(address, ["handlers", "pause", "bills", "--reason", "repair"])[:2] == (
        *(0, "bills: paused: repair\n"),
    )
    assert handlers[0].reason == "repair"
    assert run(address, ["handlers", "resume", "bills"])[1] == "bills: active\n"
    assert run(address, ["handlers", "pause", "a b/ü"])[0] == 0
    assert handlers[1].reason == "paused by a command"


def test_a_task_is_explained(address: str) -> None:
    status, shown, _ = run(address, ["explain", "s", "1", "--table"])
    assert status == 0
    assert shown.splitlines() == [
        *("s/1: succeed", "  pending, by poll", "bills: delivered", "  queued", "  delivered"),
    ]


def test_what_is_refused_says_why(address: str) -> None:
    status, _, error = run(address, ["handlers", "pause", "nobody"])
    assert (status, "there is no handler nobody; there are: bills" in error) == (1, True)
    with pytest.raises(InvalidStateError, match="it has been removed"):
        ask(address, "POST", "handlers", "bills", "pause", reason="refuse")
    with pytest.raises(InvalidStateError, match="there are /handlers"):
        ask(address, "POST", "handlers", "bills", "drop")
    with pytest.raises(InvalidStateError, match="give session="):
        ask(address, "GET", "explain")


class TestToken:
    def test_it_is_in_a_file_of_the_user_alone(self, address: str) -> None:
        path = token_file(int(address.rpartition(":")[2]))
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("token", ["", "wrong", "ü"])
    def test_without_it_nothing_is_shown_or_done(
        self, address: str, handlers: list[Made], monkeypatch: pytest.MonkeyPatch, token: str
    ) -> None:
        token_file(int(address.rpartition(":")[2])).unlink()
        if token:
            monkeypatch.setattr(control, "_token_for", lambda port: token)
        for request in (("GET", "handlers"), ("POST", "handlers", "bills", "pause")):
            with pytest.raises(InvalidStateError, match="token is missing or wrong"):
                ask(address, *request)
        assert handlers[0].reason is None

    def test_health_needs_none(self, address: str) -> None:
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()

    def test_one_of_the_environment_is_left_in_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv(control.VARIABLE, "mine")
        assert make_token(1234) == ("mine", None)
        assert not token_file(1234).exists()

    def test_a_folder_that_cannot_be_made_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
        monkeypatch.delenv(control.VARIABLE, raising=False)
        with pytest.raises(ConfigError, match="no token can be left in"):
            make_token(1234)


def test_a_pause_that_hangs_delays_no_probe(address: str) -> None:
    def pause() -> None:
        with contextlib.suppress(UnavailableError, InvalidStateError):
            ask(address, "POST", "handlers", "stuck", "pause")

    threading.Thread(target=pause, daemon=True).start()
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()


def test_where_nothing_listens_is_said() -> None:
    with pytest.raises(UnavailableError, match=r"nothing of flamepy answers at .*:1 .*--http"):
        ask("127.0.0.1:1", "GET", "handlers")
