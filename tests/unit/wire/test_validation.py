"""What users send is checked before it is sent: the value and the rule in the message."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.clocks import LONGEST
from flamepy.types import (
    ApplicationAttributes,
    ApplicationSchema,
    ResourceRequirement,
    SessionAttributes,
    TaskOptions,
)
from flamepy.wire import validation


class TestNames:
    @pytest.mark.parametrize("name", ["a", "byte-service-a1b2c3", "A.b_c-9", "_x", "-x", "x" * 128])
    def test_good_session_ids(self, name: str) -> None:
        assert validation.session_id(name) == name

    @pytest.mark.parametrize(
        "name", ["", "a/b", "../x", "a..b", ".hidden", "a b", "ü", "a\n", "x" * 129, None, 7]
    )
    def test_bad_session_ids_are_refused_with_the_value(self, name: object) -> None:
        with pytest.raises(InvalidArgumentError, match="session id"):
            validation.session_id(name)

    @pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a..b", "a b", "x" * 254, None])
    def test_bad_application_names(self, name: object) -> None:
        with pytest.raises(InvalidArgumentError, match="application name"):
            validation.application_name(name)

    @pytest.mark.parametrize(("given", "sent"), [("1", "1"), (7, "7"), ("0012", "0012")])
    def test_task_ids(self, given: object, sent: str) -> None:
        assert validation.task_id(given) == sent

    @pytest.mark.parametrize("given", ["", "abc", "-1", "1.0", "١", True, None])
    def test_bad_task_ids(self, given: object) -> None:
        with pytest.raises(InvalidArgumentError, match="decimal number"):
            validation.task_id(given)

    @pytest.mark.parametrize("given", [str(2**63), "9" * 10_000])
    def test_task_ids_that_no_engine_has(self, given: str) -> None:
        with pytest.raises(InvalidArgumentError, match="up to 9223372036854775807") as caught:
            validation.task_id(given)
        assert len(caught.value.message) < 300


class TestAffinity:
    @pytest.mark.parametrize(
        "given", [[], [b"a"], {b"a"}, (b"x" * 256,) * 256, [b"a"] * 1024, (one for one in [b"a"])]
    )
    def test_keys(self, given: Any) -> None:
        keys = list(given)
        assert list(validation.affinity(keys)) == keys

    def test_options_say_the_same(self) -> None:
        assert validation.affinity((), TaskOptions(affinity={b"a"})) == (b"a",)

    @pytest.mark.parametrize(
        "given",
        [b"a", "a", 5, None, ["a"], [b""], [b"x" * 257], [b"a"] * 1025, [b"x" * 256] * 257],
    )
    def test_bad_keys(self, given: object) -> None:
        with pytest.raises(InvalidArgumentError, match="affinity"):
            validation.affinity(given)

    def test_options_of_another_kind(self) -> None:
        with pytest.raises(InvalidArgumentError, match="option must be TaskOptions"):
            validation.affinity((), {"affinity": [b"a"]})  # type: ignore[arg-type]


class TestPayloads:
    @pytest.mark.parametrize("data", [b"x", bytearray(b"x"), memoryview(b"x")])
    def test_bytes_like_becomes_bytes(self, data: bytes) -> None:
        assert validation.payload(data) == b"x"
        assert type(validation.payload(data)) is bytes

    @pytest.mark.parametrize("data", ["text", 3, None, [1], {"a": 1}])
    def test_anything_else_is_refused_by_type(self, data: object) -> None:
        with pytest.raises(InvalidArgumentError, match=type(data).__name__):
            validation.payload(data)

    def test_the_limit_is_named_with_the_way_out(self) -> None:
        limit = 4 * 1024 * 1024 - 64 * 1024
        assert len(validation.payload(b"x" * limit)) == limit
        with pytest.raises(InvalidArgumentError, match=rf"{limit + 1} bytes.*object cache"):
            validation.payload(b"x" * (limit + 1))


class TestSessions:
    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            ({"min_instances": 3, "max_instances": 1}, "min_instances 3 is more than"),
            ({"min_instances": -1}, "min_instances must be a whole number"),
            ({"max_instances": 2**32}, "max_instances"),
            ({"priority": -1}, "priority"),
            ({"batch_size": 1.5}, "batch_size"),
            ({"resreq": ResourceRequirement(cpu=-1)}, "resreq.cpu"),
            ({"resreq": ResourceRequirement(gpu=2**31)}, "resreq.gpu"),
            ({"resreq": "cpu=1"}, "from_string"),
            ({"common_data": "text"}, "common_data must be bytes"),
            ({"application": "a b"}, "application name"),
        ],
    )
    def test_contradictions_and_bad_numbers(self, change: dict[str, object], rule: str) -> None:
        good = SessionAttributes("app")
        with pytest.raises(InvalidArgumentError, match=rule):
            validation.session_attributes(dataclasses.replace(good, **change))

    def test_something_else_is_no_spec(self) -> None:
        with pytest.raises(InvalidArgumentError, match="must be SessionAttributes"):
            validation.session_attributes({"application": "app"})  # type: ignore[arg-type]

    def test_good_attributes_pass(self) -> None:
        good = SessionAttributes("app", max_instances=0, common_data=bytearray(b"x"))
        assert validation.session_attributes(good).common_data == b"x"


class TestApplications:
    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            ({"working_directory": "rel"}, "absolute path"),
            ({"arguments": "one text"}, "arguments must be a list"),
            ({"arguments": [1]}, "arguments must be a list"),
            ({"environments": {"A": 1}}, "environments"),
            ({"environments": {"A=B": "1"}}, "environments"),
            ({"max_instances": -1}, "max_instances"),
            ({"delay_release": -1}, "delay_release"),
            ({"command": 5}, "command must be text, got 5"),
            ({"url": b"x"}, "url must be text"),
            ({"schema": "{}"}, "schema must be an ApplicationSchema"),
            ({"schema": {"inputs": "{}"}}, "or a dict with input, output, common_data"),
            ({"arguments": 7}, "arguments must be a list"),
            ({"environments": ["A=1"]}, "environments must be a dict"),
            ({"working_directory": 7}, "absolute path"),
            ({"shim": "Host"}, r"shim must be one of Shim\.HOST"),
        ],
    )
    def test_mistakes(self, change: dict[str, object], rule: str) -> None:
        with pytest.raises(InvalidArgumentError, match=rule):
            validation.application_attributes(ApplicationAttributes(**change))

    def test_paths_and_dicts_become_what_the_wire_takes_and_the_given_object_stays(self) -> None:
        given = ApplicationAttributes(working_directory=Path("/srv"), schema={"input": "{}"})
        made = validation.application_attributes(given)
        assert (made.working_directory, made.schema) == ("/srv", ApplicationSchema(input="{}"))
        assert given.schema == {"input": "{}"}


class TestTimeouts:
    @pytest.mark.parametrize("value", [0, -1, "1", True, float("nan")])
    def test_a_timeout_is_positive_seconds(self, value: object) -> None:
        with pytest.raises(InvalidArgumentError, match="timeout"):
            validation.timeout(value)

    def test_none_is_the_default(self) -> None:
        assert validation.timeout(None) is None
        assert validation.timeout(3) == 3.0

    @pytest.mark.parametrize("value", [float("inf"), 1e10, 10**30])
    def test_one_beyond_what_grpc_can_count_is_the_longest(self, value: float) -> None:
        assert validation.timeout(value) == LONGEST


@given(st.text(max_size=200))
def test_an_accepted_session_id_is_a_safe_file_name(text: str) -> None:
    try:
        name = validation.session_id(text)
    except InvalidArgumentError:
        return
    assert "/" not in name
    assert ".." not in name
    assert not name.startswith(".")
    assert 0 < len(name) <= 128
