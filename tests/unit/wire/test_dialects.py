"""One set of messages serves every dialect: names as keys, newer fields, newer names of calls."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from flamepy._proto import frontend_pb2, shim_pb2, types_pb2
from flamepy.core import short_name
from flamepy.wire.applications import decode_application
from flamepy.wire.cluster import decode_executor, decode_node, encode_executor
from flamepy.wire.fields import fields
from flamepy.wire.services import FRONTEND, NEW_NAMES, RENAMED
from flamepy.wire.sessions import decode_session
from flamepy.wire.shim import encode_result, encode_task_result, in_new_shape
from flamepy.wire.tasks import decode_task

UUID = "7e57d004-2b97-4e7a-b45f-5387367791cd"
KEYS = [
    (types_pb2.Metadata(id=UUID, name="17", workspace="default"), "17"),
    (types_pb2.Metadata(id="17", name="17"), "17"),
    (types_pb2.Metadata(id="17"), "17"),
]


@pytest.mark.parametrize(("metadata", "key"), KEYS)
def test_the_key_of_everything_is_its_name_or_else_its_id(
    metadata: types_pb2.Metadata, key: str
) -> None:
    application = decode_application(types_pb2.Application(metadata=metadata))
    assert decode_task(types_pb2.Task(metadata=metadata)).id == key
    assert decode_session(types_pb2.Session(metadata=metadata)).id == key
    assert (application.id, application.name) == (key, key)
    assert decode_executor(types_pb2.Executor(metadata=metadata)).id == key
    assert decode_node(types_pb2.Node(metadata=metadata)).name == key


def test_an_executor_has_its_application_where_the_engine_says_it() -> None:
    named = types_pb2.Executor(spec=types_pb2.ExecutorSpec(application="echo"))
    assert decode_executor(named).application == "echo"
    assert decode_executor(encode_executor(decode_executor(named))).application == "echo"
    assert decode_executor(types_pb2.Executor()).application is None


@pytest.mark.parametrize(
    ("message", "numbers"),
    [
        (frontend_pb2.RegisterApplicationRequest(workspace="w"), {3}),
        (frontend_pb2.UpdateApplicationRequest(workspace="w"), {3}),
        (frontend_pb2.UnregisterApplicationRequest(workspace="w"), {2}),
        (frontend_pb2.GetApplicationRequest(workspace="w"), {2}),
        (frontend_pb2.ListApplicationRequest(state=0, workspace="w"), {1, 2}),
        (frontend_pb2.ListExecutorRequest(workspace="w"), {1}),
        (frontend_pb2.CreateSessionRequest(workspace="w"), {3}),
        (frontend_pb2.OpenSessionRequest(workspace="w"), {3}),
        (frontend_pb2.CloseSessionRequest(workspace="w"), {2}),
        (frontend_pb2.DeleteSessionRequest(workspace="w"), {2}),
        (frontend_pb2.GetSessionRequest(workspace="w"), {2}),
        (frontend_pb2.ListSessionRequest(application="a", state=0, workspace="w"), {1, 2, 3}),
        (frontend_pb2.CreateTaskRequest(workspace="w"), {2}),
        (frontend_pb2.GetTaskRequest(workspace="w"), {3}),
        (frontend_pb2.WatchTaskRequest(task_id="1", session_id="s", workspace="w"), {1, 2, 3}),
        (frontend_pb2.ListTaskRequest(session_id="s", workspace="w"), {1, 2}),
        (types_pb2.TaskSpec(affinity=[b"a", b"b"]), {5}),
        (types_pb2.ExecutorAttributes(attr=[b"a"]), {1}),
        (types_pb2.ExecutorSpec(application="a"), {5}),
        (shim_pb2.ApplicationContext(workspace="w"), {8}),
        (shim_pb2.SessionContext(workspace="w"), {5}),
        (shim_pb2.TaskContext(workspace="w"), {5}),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Message) else "",
)
def test_newer_fields_have_the_numbers_of_the_engine(message: Message, numbers: set[int]) -> None:
    assert {number for number, _ in fields(message.SerializeToString())} == numbers


def test_calls_are_named_as_in_0_6_and_the_newer_names_are_beside_them() -> None:
    assert len(FRONTEND) == 18
    assert set(RENAMED) == set(NEW_NAMES) <= set(FRONTEND)
    for old, new in RENAMED.items():
        assert new.path == f"/flame.v1.Frontend/{NEW_NAMES[old]}"
        assert new.request is FRONTEND[old].request
        assert new.response is FRONTEND[old].response
        assert new.streams is FRONTEND[old].streams
        assert new.requests_stream is (new.name == "WatchTasks")


def test_the_newer_shape_of_an_answer_is_the_old_one_in_another_message() -> None:
    output = in_new_shape(encode_task_result(output=b"x"))
    refused = in_new_shape(encode_result("no such table"))
    assert shim_pb2.OnTaskInvokeResponse.FromString(
        output.SerializeToString()
    ).task_result == types_pb2.TaskResult(return_code=0, output=b"x")
    entered = shim_pb2.OnSessionEnterResponse.FromString(refused.SerializeToString())
    assert (entered.result.return_code, entered.result.message) == (-1, "no such table")
    assert not entered.HasField("attributes")


def test_names_that_are_made_have_no_capitals() -> None:
    made = [short_name("byte-service") for _ in range(50)]
    assert all(one == one.lower() for one in made)
    assert len(set(made)) == 50
