"""``Sandbox``: run scripts in Python or shell by the application ``flmexec``.

Payloads are JSON. The keys of requests and of ``data`` are the engine's own; the embedded cluster
also takes ``timeout`` and answers with ``exit_code`` and ``stderr``.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from flamepy.core.client import create_session, open_session
from flamepy.core.closing import ClosesAtExit
from flamepy.core.futures import DecodedFuture
from flamepy.core.session import Session
from flamepy.errors import FlameError, FlameErrorCode
from flamepy.runtime.seconds import seconds_or_none
from flamepy.types import ResourceRequirement

APPLICATION = "flmexec"
LANGUAGES = ("python", "shell")


@dataclass(frozen=True)
class SandboxAttr:
    """What a sandbox is.

    Attributes:
        language: ``python`` or ``shell``.
        runtime: the Python's version, or the shell's name; None is the cluster's choice.
        min_instances, max_instances: executors kept and allowed; None means no limit.
        resreq: resources of an executor.
    """

    language: str
    runtime: str | None = None
    min_instances: int = 0
    max_instances: int | None = None
    resreq: ResourceRequirement | None = None


@dataclass(frozen=True)
class SandboxOutput:
    """What a script wrote.

    Attributes:
        data: its standard output.
        exit_code, stderr: None on an engine that does not say them.
    """

    data: bytes
    exit_code: int | None = None
    stderr: bytes | None = None

    def text(self, encoding: str = "utf-8") -> str:
        """Return the standard output as text."""
        return self.data.decode(encoding)


class SandboxFuture(DecodedFuture[SandboxOutput]):
    """The future of a script; ``result`` is what it wrote."""

    def _decode(self, output: bytes | None) -> SandboxOutput:
        return _output(output)


class Sandbox(ClosesAtExit):
    """A session of ``flmexec``; ``with`` closes it. Scripts run one at a time on each executor."""

    def __init__(self, session: Session, attr: SandboxAttr) -> None:
        self._session: Session | None = session
        self._id = session.id
        self._attr = attr

    @classmethod
    def create(cls, attr: SandboxAttr) -> Sandbox:
        """Open a new sandbox.

        Raises:
            FlameError: INVALID_ARGUMENT, the attributes break a rule.
        """
        checked = _checked(attr)
        session = create_session(
            application=APPLICATION,
            common_data=_encoded(checked),
            min_instances=checked.min_instances,
            max_instances=checked.max_instances,
            resreq=checked.resreq,
        )
        return cls(session, checked)

    @classmethod
    def open(cls, sandbox_id: str) -> Sandbox:
        """Join an open sandbox.

        Raises:
            FlameError: NOT_FOUND; INVALID_ARGUMENT, it is closed or is not a sandbox.
        """
        session = open_session(sandbox_id)
        if session.application != APPLICATION:
            raise _invalid(f"sandbox '{sandbox_id}' is not a script sandbox")
        return cls(session, _decoded(session.common_data()))

    def __repr__(self) -> str:
        return f"<Sandbox {self._id} {self._attr.language}>"

    @property
    def attr(self) -> SandboxAttr:
        """What the sandbox is."""
        return self._attr

    @property
    def sandbox_id(self) -> str:
        """The id, for ``open``."""
        return self._id

    def run_code(
        self, code: str, input: bytes | None = None, *, timeout: float | None = None
    ) -> SandboxOutput:
        """Run a script and return what it wrote.

        Args:
            code: the script's text.
            input: its standard input; None: it reads the end at once.
            timeout: seconds the script may run, on the embedded cluster; an engine of 0.6 sets no
                limit. The wait has no limit of its own.

        Raises:
            FlameError: INVALID_STATE after ``close``; INTERNAL, the answer is not understood.
            TaskFailedError: the script could not be run, or ran too long.
        """
        return _output(self._open().invoke(self._request(code, input, timeout)))

    def submit_code(
        self, code: str, input: bytes | None = None, *, timeout: float | None = None
    ) -> SandboxFuture:
        """Run a script; return the future of its output. Arguments as of ``run_code``."""
        return SandboxFuture(self._open().run(self._request(code, input, timeout)))

    def close(self) -> None:
        """Close the session. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _open(self) -> Session:
        if self._session is None:
            raise FlameError(FlameErrorCode.INVALID_STATE, "sandbox is closed")
        return self._session

    def _request(self, code: str, input: bytes | None, timeout: float | None) -> bytes:
        if not isinstance(code, str):
            raise _invalid(f"code must be text, got {type(code).__name__}")
        if input is not None and not isinstance(input, bytes):
            raise _invalid("input must be bytes or None")
        request: dict[str, Any] = {
            "language": self._attr.language,
            "code": code,
            "input": None if input is None else list(input),
        }
        timeout = seconds_or_none("timeout", timeout, zero=False)
        if timeout is not None:
            request["timeout"] = timeout
        if self._attr.runtime is not None:
            request["runtime"] = self._attr.runtime
        return json.dumps(request).encode()


def _checked(attr: object) -> SandboxAttr:
    if not isinstance(attr, SandboxAttr):
        raise _invalid("attr must be a SandboxAttr")
    if not isinstance(attr.language, str):
        raise _invalid("language must be 'python' or 'shell'")
    language = attr.language.strip().lower()
    if language not in LANGUAGES:
        raise _invalid(f"language must be 'python' or 'shell', got '{attr.language}'")
    resreq = None if attr.resreq is None else dataclasses.replace(attr.resreq)
    return dataclasses.replace(attr, language=language, resreq=resreq)


def _encoded(attr: SandboxAttr) -> bytes:
    shown = {
        "language": attr.language,
        "runtime": attr.runtime,
        "min_instances": attr.min_instances,
        "max_instances": attr.max_instances,
        "resreq": None
        if attr.resreq is None
        else {"cpu": attr.resreq.cpu, "memory": attr.resreq.memory, "gpu": attr.resreq.gpu},
    }
    return json.dumps(shown).encode()


def _decoded(data: bytes | None) -> SandboxAttr:
    if not data:
        raise _invalid("sandbox attr is missing from session common_data")
    try:
        found = json.loads(data)
        resreq = found.get("resreq")
        return SandboxAttr(
            language=found["language"],
            runtime=found.get("runtime"),
            min_instances=found.get("min_instances", 0),
            max_instances=found.get("max_instances"),
            resreq=None if resreq is None else ResourceRequirement(**resreq),
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _invalid("session common_data is not a Sandbox attr") from error


def _output(data: bytes | None) -> SandboxOutput:
    if data is None:
        return SandboxOutput(b"")
    try:
        found = json.loads(data)
        stderr = found.get("stderr")
        return SandboxOutput(
            bytes(found["data"]),
            found.get("exit_code"),
            None if stderr is None else bytes(stderr),
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise FlameError(
            FlameErrorCode.INTERNAL, "response is not valid flmexec output JSON"
        ) from error


def _invalid(message: str) -> FlameError:
    return FlameError(FlameErrorCode.INVALID_ARGUMENT, message)
