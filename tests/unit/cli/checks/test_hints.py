"""The hints of ``flamepy doctor``: each oddity with the command that says more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from click.testing import CliRunner

from flamepy.cli.checks.hints import hints
from flamepy.cli.commands import flamepy
from flamepy.local import LocalCluster
from flamepy.types import (
    Application,
    ApplicationState,
    Event,
    SessionInfo,
    SessionState,
    TaskCounts,
)

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
OWN = Application("1", "mine", ApplicationState.ENABLED, NOW)
BUILT_IN = replace(OWN, name="flmrun")
SESSION = SessionInfo("s", "mine", SessionState.OPEN, NOW)


def test_an_engine_without_an_application_says_how_to_get_one() -> None:
    (hint,) = hints([BUILT_IN], [], NOW)
    assert "flamepy apps register" in hint
    assert "flamepy up --demo" in hint


def test_a_session_that_is_given_up_and_idle_ones_are_named() -> None:
    stuck = replace(SESSION, id="stuck", events=(Event(1002, "limit", NOW),))
    busy = replace(SESSION, id="busy", counts=TaskCounts(running=1))
    idle = replace(SESSION, id="idle")
    closed = replace(stuck, id="closed", state=SessionState.CLOSED)
    later = NOW + timedelta(hours=2)
    first, second = hints([OWN], [stuck, busy, idle, closed], later)
    assert "flamepy describe session stuck" in first
    assert "2 sessions are open for over an hour" in second
    assert hints([OWN], [idle], NOW) == [
        "all is well; try: flamepy submit mine hello --wait, flamepy watch"
    ]


def test_doctor_ends_with_them() -> None:
    with LocalCluster(executors=1, cache_port=None) as cluster:
        words = ["doctor", "--endpoint", cluster.endpoint]
        done = CliRunner().invoke(flamepy, words, prog_name="flamepy")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith("hint no application of yours is registered")
