"""Sessions: docs/protocol.md#sessions, #counters, #identifiers."""

from __future__ import annotations

import pytest
from contract.conftest import Target

from flamepy.core import ResourceRequirement, SessionAttributes, SessionState, short_name
from flamepy.errors import (
    AlreadyExistsError,
    ApplicationNotFoundError,
    InvalidArgumentError,
    InvalidStateError,
    SessionBusyError,
    SessionClosedError,
    SessionNotFoundError,
)


def test_an_id_is_made_from_the_applications_name(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        assert session.id.startswith(f"{application}-")
        assert (session.application, session.state) == (application, SessionState.OPEN)


def test_what_is_asked_for_is_what_is_there(target: Target, application: str) -> None:
    made = target.connection.create_session(
        application,
        b"common",
        min_instances=0,
        max_instances=2,
        resreq=ResourceRequirement(1, 256 << 20),
        priority=3,
    )
    with target.connection.get_session(made.id) as session:
        assert session.common_data() == b"common"
        assert session.priority == 3
        assert session.invoke(b"common", timeout=60) == b"common"


def test_a_taken_id_is_refused_open_or_closed(target: Target, application: str) -> None:
    name = short_name("s")
    session = target.connection.create_session(application, session_id=name)
    with pytest.raises(AlreadyExistsError):
        target.connection.create_session(application, session_id=name)
    session.close()
    with pytest.raises(AlreadyExistsError):
        target.connection.create_session(application, session_id=name)


def test_open_finds_creates_and_compares(target: Target, application: str) -> None:
    name = short_name("s")
    with pytest.raises(SessionNotFoundError):
        target.connection.open_session(name)
    spec = SessionAttributes(application, max_instances=2)
    made = target.connection.open_session(name, spec)
    again = target.connection.open_session(name, spec)
    assert (made.id, again.application) == (name, application)
    with pytest.raises(InvalidArgumentError, match="max_instances differs"):
        target.connection.open_session(name, SessionAttributes(application, max_instances=3))
    made.close()
    with pytest.raises(SessionClosedError):
        target.connection.open_session(name)


def test_counters_follow_the_tasks(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        session.invoke(b"echo x", timeout=60)
        with pytest.raises(Exception, match="no"):
            session.invoke(b"fail no", timeout=60)
        session.refresh()
        assert (session.succeed, session.failed, session.pending) == (1, 1, 0)


def test_a_session_with_a_running_task_is_busy(target: Target, application: str) -> None:
    session = target.connection.create_session(application)
    task = session.create_task(b"sleep 1500")
    for update in session.watch_task(task.id, timeout=60):
        if update.state.name == "RUNNING":
            break
    with pytest.raises(SessionBusyError):
        session.close(wait=0)
    session.close()
    assert session.get_task(task.id).output == b"slept 1500"


@pytest.mark.parametrize("wait", ["3", None, True, -1, float("nan")])
def test_a_wait_that_is_no_number_of_seconds_is_refused(
    target: Target, application: str, wait: object
) -> None:
    with target.connection.create_session(application) as session:
        with pytest.raises(InvalidArgumentError, match="wait must be seconds, 0 or more"):
            session.close(wait=wait)  # type: ignore[arg-type]  # that is the test
        assert session.refresh().state == SessionState.OPEN


def test_delete_takes_closed_sessions_only(target: Target, application: str) -> None:
    session = target.connection.create_session(application)
    with pytest.raises(InvalidStateError):
        target.connection.delete_session(session.id)
    session.close()
    assert target.connection.delete_session(session.id).id == session.id
    for call in (target.connection.get_session, target.connection.delete_session):
        with pytest.raises(SessionNotFoundError):
            call(session.id)


def test_unknown_names_are_said(target: Target) -> None:
    with pytest.raises(ApplicationNotFoundError):
        target.connection.create_session("no-such-application")
    for call in (target.connection.get_session, target.connection.close_session):
        with pytest.raises(SessionNotFoundError):
            call("no-such-session")


def test_sessions_are_listed(target: Target, application: str) -> None:
    made = {target.connection.create_session(application).id for _ in range(3)}
    listed = target.connection.list_sessions()
    assert made <= {session.id for session in listed}
    assert [one.id for one in listed] == sorted(one.id for one in listed)
