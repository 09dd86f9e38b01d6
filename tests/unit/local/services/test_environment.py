"""What a service process is started with (docs/protocol.md#services)."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from flamepy.local.services.environment import expand, launch
from flamepy.types import Application, ApplicationState


def application(**changes: object) -> Application:
    return Application(
        "app", "app", ApplicationState.ENABLED, datetime.now(timezone.utc), **changes
    )


def plan(made: Application, environ: dict[str, str] | None = None):
    return launch(
        made,
        "11111111-2222-3333-4444-555555555555",
        root=Path("/r"),
        sockets=Path("/s"),
        endpoint="http://127.0.0.1:9",
        cache_endpoint=None,
        environ=environ or {},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "1-1"),
        ("$NO_SUCH ${NO}", "$NO_SUCH ${NO}"),
        ("$$A", "$1"),
        ("${A", "${A"),
        ("cost: 5$", "cost: 5$"),
    ],
)
def test_variables_are_replaced_and_unknown_ones_stay(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_arguments_see_the_applications_variables_and_those_see_ours() -> None:
    made = plan(
        application(
            command="$BIN/x",
            arguments=("$CONF", "${HOME}", "$NO_SUCH"),
            environments={"CONF": "v-$BIN", "SELF": "$CONF"},
        ),
        {"BIN": "/bin", "HOME": "/home/me"},
    )
    assert made.command == "/bin/x"
    assert made.arguments == ("v-/bin", "/home/me", "$NO_SUCH")
    assert made.environ["SELF"] == "$CONF"


def test_the_service_is_told_where_its_socket_and_the_engine_are() -> None:
    made = plan(application(command="x"), {"FLAME_ENDPOINT": "http://elsewhere:1"})
    assert made.environ["FLAME_INSTANCE_ENDPOINT"] == str(made.socket)
    assert made.socket.parent == Path("/s")
    assert made.environ["FLAME_ENDPOINT"] == "http://127.0.0.1:9"
    assert (made.environ["RUST_LOG"], made.environ["FLAME_LOG"]) == ("info", "info")
    assert len(str(made.socket)) < 100


def test_without_a_working_directory_the_process_gets_one_of_its_own() -> None:
    made = plan(application(command="x"))
    assert made.private
    assert made.folder.is_relative_to("/r")
    assert made.environ["TMPDIR"] == str(made.folder / "work" / "app" / "tmp")


def test_a_given_working_directory_is_used_and_kept() -> None:
    made = plan(application(command="x", working_directory="/srv/app"))
    assert (made.folder, made.private) == (Path("/srv/app"), False)
    assert made.environ["PWD"] == "/srv/app"


def test_a_given_tmpdir_wins() -> None:
    assert plan(application(), {"TMPDIR": "/var/t"}).environ["TMPDIR"] == "/var/t"
