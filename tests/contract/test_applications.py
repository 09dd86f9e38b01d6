"""Applications, nodes and executors: docs/protocol.md#applications, #executors."""

from __future__ import annotations

import sys

import pytest
from contract.conftest import SERVICE, Target
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, ApplicationState, short_name
from flamepy.errors import (
    AlreadyExistsError,
    ApplicationNotFoundError,
    InvalidArgumentError,
    InvalidStateError,
    NotFoundError,
)


def test_the_default_applications_are_there(target: Target) -> None:
    names = [one.name for one in target.connection.list_applications()]
    assert {"flmexec", "flmping", "flmrun"} <= set(names)
    assert names == sorted(names)


def test_an_application_lives_and_goes(target: Target) -> None:
    name = short_name("app")
    target.connection.register_application(
        name,
        ApplicationAttributes(
            command="/bin/true",
            arguments=["a", "b"],
            environments={"K": "v"},
            labels=["l"],
            working_directory="/tmp",
            description="d",
        ),
    )
    with pytest.raises(AlreadyExistsError):
        target.connection.register_application(name, ApplicationAttributes())
    shown = target.connection.get_application(name)
    assert shown is not None
    assert (shown.name, shown.state) == (name, ApplicationState.ENABLED)
    assert (shown.command, list(shown.arguments or ())) == ("/bin/true", ["a", "b"])
    assert (dict(shown.environments or {}), shown.max_instances) == ({"K": "v"}, 1_000_000)
    target.connection.update_application(name, ApplicationAttributes(command="/bin/false"))
    updated = target.connection.get_application(name)
    assert updated is not None
    assert (updated.command, updated.description) == ("/bin/false", None), "replaced, not merged"
    target.connection.unregister_application(name)
    if target.is_newer:  # it is removed a moment later
        eventually(lambda: target.connection.get_application(name) is None)
    assert target.connection.get_application(name) is None
    with pytest.raises(ApplicationNotFoundError):
        target.connection.unregister_application(name)


def test_an_open_session_protects_its_application(target: Target) -> None:
    name = target.register()
    with target.connection.create_session(name) as session:
        if target.is_newer:  # it is disabled, and stays while the session does
            target.connection.unregister_application(name)
            shown = target.connection.get_application(name)
            assert shown is not None
            assert shown.state is ApplicationState.DISABLED
            assert session.invoke(b"echo x") == b"x"
        else:
            with pytest.raises(InvalidStateError):
                target.connection.unregister_application(name)
            with pytest.raises(InvalidStateError):
                target.connection.update_application(name, ApplicationAttributes(command="x"))
    if target.is_newer:
        eventually(lambda: target.connection.get_application(name) is None)
    else:
        target.connection.unregister_application(name)


@pytest.mark.parametrize("name", ["", "a/b", "a..b", ".a", "-a", "a b", "ü", "x" * 254])
def test_bad_names_are_refused(target: Target, name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        target.connection.register_application(name, ApplicationAttributes())
    with pytest.raises(InvalidArgumentError):
        target.connection.update_application(name, ApplicationAttributes())


def test_there_is_a_node_and_unknown_ones_are_said(target: Target) -> None:
    node = target.connection.list_nodes()[0]
    assert target.connection.get_node(node.name).name == node.name
    with pytest.raises(NotFoundError):
        target.connection.get_node("no-such-node")


def test_an_executor_is_there_while_a_session_works(target: Target, application: str) -> None:
    with target.connection.create_session(application) as session:
        session.invoke(b"echo x", timeout=60)
        mine = [one for one in target.connection.list_executors() if one.session_id == session.id]
    assert len(mine) == 1
    assert mine[0].resreq.cpu >= 1


def test_variables_are_expanded_for_the_service(target: Target) -> None:
    """docs/protocol.md#services."""
    name = target.register(
        command=sys.executable,
        arguments=[SERVICE, "a1", "${CONF_VAR}", "$NO_SUCH"],
        environments={"CONF_VAR": "v1"},
    )
    with target.connection.create_session(name) as session:
        assert session.invoke(b"argv", timeout=60) == b'["a1", "v1", "$NO_SUCH"]'
