"""Replays a recording against an endpoint and says how each step's answer compares.

A recording is what a running engine answered (docs/protocol.md). Values that differ from run to
run are normalised on both sides; what cannot be compared is left out with its reason, by name.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from support.cluster_process import ClusterProcess
from support.waiting import eventually

from flamepy.types import TaskState
from flamepy.wire.services import FRONTEND

SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
TERMINAL = {"Succeed", "Failed", "Cancelled"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SCHEDULED = re.compile(r"max_instances (\d+): six tasks of 300 ms: ")
OUTPUT = re.compile(r"output of 4 MiB ([+-]\d+) bytes: ")
PROCESS = "two tasks one after another, same process: "
NEWER = ("affinity", "application")  # fields after 0.6, which are not on the wire while empty
LONG = re.compile(r"<(\d+) characters>")


@dataclass
class Result:
    """What became of the steps."""

    passed: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, index: int, expected: Any, got: Any) -> None:
        if expected == got:
            self.passed.append(index)
        else:
            self.failed[index] = "; ".join(differences(expected, got))

    def __str__(self) -> str:
        lines = [
            f"{len(self.passed)} passed, {len(self.skipped)} skipped, {len(self.failed)} failed"
        ]
        lines += [f"step {index} skipped: {why}" for index, why in self.skipped.items()]
        lines += [f"step {index} differs: {how}" for index, how in self.failed.items()]
        return "\n".join(lines)


class Replay:
    """One scenario against one endpoint; ``cluster`` is what notes kill and start again."""

    def __init__(
        self,
        channel: grpc.Channel,
        scenario: dict[str, Any],
        skip: dict[int, str],
        cluster: ClusterProcess | None = None,
    ) -> None:
        self.cluster = cluster
        self.steps = scenario["steps"]
        self.skip = skip
        self.result = Result()
        self.channel = channel
        nodes = self.unary("ListNodes", {})["response"]["nodes"]
        self.host = nodes[0]["metadata"]["name"]
        self.open: dict[int, Any] = {}
        self.session_id = ""

    def run(self) -> Result:
        for index, step in enumerate(self.steps):
            self.open_early(index)
            if index in self.skip:
                self.result.skipped[index] = self.skip[index]
            elif "call" not in step:
                self.do_note(index, step["note"])
            else:
                self.compare(index, step)
        return self.result

    # ------------------------------------------------------------------ steps

    def open_early(self, index: int) -> None:
        """Open what was open before this step: the watch after it, or those that a kill ends."""
        if self.steps[index].get("note") == "SIGKILL":
            for later, step in enumerate(self.steps):
                if step.get("note") == "open while the process died":
                    self.open[later] = self.stream(step)
                    next(self.open[later])
        if index + 1 < len(self.steps):
            later = self.steps[index + 1]
            if later.get("note") == "opened before the previous step":
                self.open[index + 1] = self.stream(later)
                next(self.open[index + 1])  # the stream is made lazily; nothing came yet

    def compare(self, index: int, step: dict[str, Any]) -> None:
        answer = ("response", "status", "stream", "end")
        expected = tidy({key: value for key, value in step.items() if key in answer})
        if step["call"] == "CreateTask then GetTask when terminal":
            expected = {key: step[key] for key in ("state", "output")}
            got = self.run_task(step["input"])
        elif isinstance(step["request"], str):
            got = self.sized(step["request"])
        elif FRONTEND[step["call"]].streams:
            got = self.collect(index, step)
        else:
            got = self.answer(step)
        got = self.normalise(tidy(got), expected)
        self.result.add(index, library_text(expected), library_text(got))

    def answer(self, step: dict[str, Any]) -> dict[str, Any]:
        name, request = step["call"], self.fill(step["request"])
        wanted = step.get("response", {})
        wanted = wanted.get("status", {}) if isinstance(wanted, dict) else {}
        if name == "GetTask" and wanted.get("state") in TERMINAL:
            return eventually(lambda: self.ended(request), f"task {request} to end")
        if name == "GetSession" and any(one["code"] == 1002 for one in wanted.get("events", ())):
            return eventually(lambda: self.given_up(request), "event 1002", limit=60.0)
        down = step.get("status", {}).get("code") == "UNAVAILABLE"
        if name == "GetSession" and wanted.get("completion_time") is None and not down:
            return self.counted(request, wanted)
        if name == "CloseSession" and step.get("note") == "one task is running":
            eventually(lambda: self.session(request)["running"], "a running task")
        if name == "ListExecutor":
            return self.executors(step)
        if name == "CreateSession":
            self.session_id = request["session_id"]
        return self.unary(name, request)

    def do_note(self, index: int, note: str) -> None:
        if (found := SCHEDULED.match(note)) is not None:
            self.result.add(index, note, self.scheduled(int(found.group(1))))
            return
        if (found := OUTPUT.match(note)) is not None:
            self.result.add(index, note, self.large_output(found.group(1)))
            return
        if note.startswith(PROCESS):
            self.result.add(index, note, f"{PROCESS}{self.run_task('pid') == self.run_task('pid')}")
            return
        if self.cluster is not None and note == "SIGKILL":
            self.cluster.kill()
        if self.cluster is not None and note == "started again":
            self.cluster.start()
            eventually(self.is_up, "the connection to come back")
        if note == "wait until the running task has ended, then close at once":
            # GetTask waited; the recorded close came after the other two had run as well.
            eventually(lambda: self.ended({"session_id": "t1", "task_id": "9"}), "task 9 to end")
            request = {"session_id": "t1"}
            eventually(lambda: self.session(request)["succeed"] == 9, "nine tasks to succeed")
            self.unary("CloseSession", request)
        self.result.skipped[index] = f"a note: {note}"

    def is_up(self) -> bool:
        return "response" in self.unary("ListNodes", {})

    def scheduled(self, limit: int) -> str:
        """Run the six tasks of the recording; say what was seen, in its words."""
        spec = {"command": sys.executable, "arguments": [SERVICE], "delay_release": 1}
        name = f"scheduling-{limit}"
        self.unary("RegisterApplication", {"name": name, "application": spec})
        session = {"application": name, "max_instances": limit}
        self.unary("CreateSession", {"session_id": name, "session": session})
        payload = base64.b64encode(b"sleep 300").decode()
        for _ in range(6):
            self.unary("CreateTask", {"task": {"session_id": name, "input": payload}})
        most = 0
        done: list[str] = []

        def all_ended() -> bool:
            nonlocal most
            tasks = list(self.stream({"call": "ListTask", "request": {"session_id": name}}))[1:-1]
            states = {one["metadata"]["id"]: one["status"]["state"] for one in tasks}
            most = max(most, sum(state == "Running" for state in states.values()))
            done.extend(
                sorted(one for one in states if states[one] == "Succeed" and one not in done)
            )
            return len(done) == 6

        eventually(all_ended, "six tasks to end")
        return (
            f"max_instances {limit}: six tasks of 300 ms: at most {most} running at once, "
            f"finished in order {done}"
        )

    def large_output(self, difference: str) -> str:
        """Run a task with an output about as large as a message may be; say what became of it."""
        text = f"size {4 * 1024 * 1024 + int(difference)}"
        spec = {"session_id": self.session_id, "input": base64.b64encode(text.encode()).decode()}
        made = self.unary("CreateTask", {"task": spec})["response"]["metadata"]["id"]
        request = {"session_id": self.session_id, "task_id": made}
        task = eventually(lambda: self.ended(request), f"task {request} to end")["response"]
        events = [(one["code"], one["message"]) for one in task["status"]["events"]]
        size = len(base64.b64decode(task["spec"].get("output", "")))
        return (
            f"output of 4 MiB {difference} bytes: after 6 s the task is {task['status']['state']}, "
            f"output {size} bytes, events {events}"
        )

    # ------------------------------------------------------------------ conditions

    def session(self, request: dict[str, Any]) -> dict[str, Any]:
        status: dict[str, Any] = self.unary("GetSession", request)["response"]["status"]
        return status

    def ended(self, request: dict[str, Any]) -> dict[str, Any] | None:
        got = self.unary("GetTask", request)
        return got if got["response"]["status"]["state"] in TERMINAL else None

    def given_up(self, request: dict[str, Any]) -> dict[str, Any] | None:
        got = self.unary("GetSession", request)
        events = got["response"]["status"]["events"]
        return got if any(one["code"] == 1002 for one in events) else None

    def counted(self, request: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
        """Return the session once its counters are the recorded ones, or as it is at last."""
        names = ("pending", "running", "succeed", "failed", "cancelled")
        got: dict[str, Any] = {}

        def same() -> bool:
            got.update(self.unary("GetSession", request))
            status = got.get("response", {}).get("status", {})
            return all(status.get(one) == wanted.get(one) for one in names)

        with suppress(AssertionError):  # the comparison tells what differs
            eventually(same, limit=5.0)
        return got

    def executors(self, step: dict[str, Any]) -> dict[str, Any]:
        """Return the executors once their states are the recorded ones, or as they are at last."""
        if step.get("note", "").startswith("task done"):
            request = {"session_id": self.session_id}
            eventually(lambda: self.session(request)["succeed"], "the task to end")

        def states(answer: dict[str, Any]) -> list[str]:
            return [one["status"]["state"] for one in answer["executors"]]

        got: dict[str, Any] = {}

        def same() -> bool:
            got.update(self.unary("ListExecutor", {}))
            return states(got["response"]) == states(step["response"])

        with suppress(AssertionError):  # the comparison tells what differs
            eventually(same, limit=10.0)
        return got

    def run_task(self, text: str) -> dict[str, Any]:
        """Return state and output of a task in the session made last, as the recording has it."""
        if text.endswith("..."):
            text = f"{text[:4]}{'y' * 1_000_000}"
        spec = {"session_id": self.session_id, "input": base64.b64encode(text.encode()).decode()}
        made = self.unary("CreateTask", {"task": spec})["response"]["metadata"]["id"]
        request = {"session_id": self.session_id, "task_id": made}
        task = eventually(lambda: self.ended(request), f"task {request} to end")["response"]
        output = base64.b64decode(task["spec"]["output"]).decode()
        state = TaskState[task["status"]["state"].upper()]
        shown = output if len(output) < 10_000 else f"<{len(output)} bytes>"
        return {"state": int(state), "output": shown}

    # ------------------------------------------------------------------ calls

    def unary(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        method = FRONTEND[name]
        call = self.channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            reply = call(ParseDict(request, method.request()), timeout=20.0)
        except grpc.RpcError as error:
            return {"status": {"code": error.code().name, "message": error.details()}}
        return {"response": to_json(reply)}

    def stream(self, step: dict[str, Any]) -> Any:
        """Yield None once the stream is open, then its messages, then how it ended."""
        method = FRONTEND[step["call"]]
        call = self.channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )(ParseDict(self.fill(step["request"]), method.request()), timeout=20.0)
        call.initial_metadata  # noqa: B018
        self.unary("ListNodes", {})  # behind the stream's request on the same connection
        yield None
        try:
            for message in call:
                yield to_json(message)
        except grpc.RpcError as error:
            yield {"code": error.code().name, "message": error.details()}
        else:
            yield {"code": "OK"}

    def collect(self, index: int, step: dict[str, Any]) -> dict[str, Any]:
        stream = self.open.pop(index, None)
        if stream is None:
            stream = self.stream(step)
            next(stream)
        *messages, end = list(stream)
        if step.get("order"):
            messages.sort(key=lambda one: int(one["metadata"]["id"]))
        return {"stream": messages, "end": end}

    def sized(self, text: str) -> dict[str, Any]:
        size = int(text.removeprefix("input of ").removesuffix(" bytes"))
        task = {"session_id": "z1", "input": base64.b64encode(b"y" * size).decode()}
        got = self.unary("CreateTask", {"task": task})
        if "response" in got:
            return {"response": f"task {got['response']['metadata']['id']}"}
        return got

    # ------------------------------------------------------------------ normalisation

    def fill(self, request: Any) -> Any:
        text = json.dumps(request)
        for mark, value in (
            ("<python>", sys.executable),
            ("<service>", SERVICE),
            ("<host>", self.host),
        ):
            text = text.replace(json.dumps(mark)[1:-1], json.dumps(value)[1:-1])
        return json.loads(text)

    def normalise(self, got: Any, expected: Any) -> Any:
        if isinstance(got, dict):
            hints = expected if isinstance(expected, dict) else {}
            return {
                key: "<ms>"
                if key in ("creation_time", "completion_time") and str(value) != "0"
                else self.normalise(value, hints.get(key))
                for key, value in got.items()
                if value or key not in NEWER or key in hints
            }
        if isinstance(got, list):
            hints = expected if isinstance(expected, list) else []
            hints = hints + [None] * (len(got) - len(hints))
            return [self.normalise(one, hint) for one, hint in zip(got, hints, strict=False)]
        if isinstance(got, str):
            if isinstance(expected, str) and LONG.fullmatch(expected):
                return f"<{len(got)} characters>"
            got = got.replace(sys.executable, "<python>").replace(SERVICE, "<service>")
            return UUID.sub("<uuid>", got).replace(self.host, "<host>")
        return got


def library_text(answer: Any) -> Any:
    """Leave out the text of a lost connection: it is the client library's, not the engine's."""
    for key in ("status", "end"):
        found = answer.get(key) if isinstance(answer, dict) else None
        if isinstance(found, dict) and found.get("code") == "UNAVAILABLE":
            return {**answer, key: {"code": "UNAVAILABLE"}}
    return answer


def differences(expected: Any, got: Any, where: str = "") -> list[str]:
    """Return what differs, leaf by leaf."""
    if isinstance(expected, dict) and isinstance(got, dict):
        names = sorted(set(expected) | set(got))
        pairs = [(f"{where}.{name}", expected.get(name), got.get(name)) for name in names]
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        both = zip(expected, got, strict=True)
        pairs = [(f"{where}[{number}]", one, other) for number, (one, other) in enumerate(both)]
    elif expected == got:
        return []
    else:
        return [f"{where}: expected {json.dumps(expected)}, got {json.dumps(got)}"]
    return [text for name, one, other in pairs for text in differences(one, other, name)]


def to_json(message: Any) -> Any:
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def tidy(answer: Any) -> Any:
    """Sort what has no order, and leave out how large the recording machine was."""
    if isinstance(answer, dict):
        machine = ("capacity", "allocatable", "info")
        done = {
            key: sorted(value) if key in machine else tidy(value) for key, value in answer.items()
        }
        for key, name in (("applications", None), ("environments", "name")):
            if isinstance(done.get(key), list):
                done[key].sort(key=lambda one: one[name] if name else one["metadata"]["name"])
        return done
    if isinstance(answer, list):
        return [tidy(one) for one in answer]
    return answer
