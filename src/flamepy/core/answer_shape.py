"""``AnswerShape``: in which messages a service answers, as the executor that runs it understands.

Executors after 0.6 take other messages than those of 0.6, and nothing that they send shows which
they are, but a workspace. An answer of the wrong kind is an error, or an output lost. So the
frontend is asked, once, while the first task runs (docs/services.md#dialects).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from flamepy._proto import types_pb2
from flamepy.config import FlameContext
from flamepy.errors import FlameError, FlameErrorCode
from flamepy.rpc.implicit import close_link
from flamepy.rpc.link import Link
from flamepy.rpc.transport.loop_thread import ReactorLoop
from flamepy.runtime import threads
from flamepy.runtime.flags import Flag
from flamepy.texts import repr_of, text_of
from flamepy.types import Dialect
from flamepy.wire.shim import in_new_shape

logger = logging.getLogger(__name__)

FLAME_DIALECT = "FLAME_DIALECT"
LIMIT = 5.0  # seconds that the first answer waits for the frontend's
PAUSE = 30.0  # seconds between two questions to a frontend that did not answer


def ask_frontend() -> Dialect:
    """Return what the engine of the configuration speaks; UNKNOWN if it does not answer.

    Raises:
        FlameError: why it did not.
    """
    link = Link(FlameContext(), reactor=ReactorLoop(), patience=0.0)
    try:
        link.run(_list(link), LIMIT)
        return link.stats().dialect
    finally:
        close_link(link)


async def _list(link: Link) -> None:
    await link.hasty.list_applications(timeout=LIMIT)


class AnswerShape:
    """Decides it once. ``close`` ends its thread.

    Args:
        environ: with ``FLAME_DIALECT``, which goes before everything, and ``FLAME_ENDPOINT``:
            without it nothing is asked, and answers are those of 0.6.
        ask: returns what the engine speaks, or raises FlameError.

    Raises:
        FlameError: INVALID_CONFIG, ``FLAME_DIALECT`` is neither 0.6 nor next.
    """

    def __init__(
        self, environ: Mapping[str, str], ask: Callable[[], Dialect] = ask_frontend
    ) -> None:
        setting = environ.get(FLAME_DIALECT, "")
        if setting not in ("", Dialect.OLD, Dialect.NEXT):
            raise FlameError(
                FlameErrorCode.INVALID_CONFIG,
                f"{FLAME_DIALECT} must be {Dialect.OLD} or {Dialect.NEXT}, got {repr_of(setting)}",
            )
        self._ask = ask
        self._closed, self._tried = Flag(), Flag()
        self._dialect = Dialect(setting) if setting else Dialect.UNKNOWN
        self._warned = False
        if not setting and not environ.get("FLAME_ENDPOINT"):
            self._dialect = Dialect.OLD

    def begin(self) -> None:
        """Ask the frontend on a thread of its own, unless the answer is known."""
        if self._dialect is Dialect.UNKNOWN:
            threads.start(self._find_out, name="flamepy-dialect")

    def close(self) -> None:
        """Ask no more. Idempotent."""
        self._closed.set()

    def saw(self, workspace: str) -> None:
        """Record the workspace of a request: executors that send one are of the newer kind."""
        if workspace and self._dialect is Dialect.UNKNOWN:
            self._dialect = Dialect.NEXT

    def shaped(self, answer: types_pb2.Result | types_pb2.TaskResult) -> Message:
        """Return an answer as it is sent.

        One without content has the same bytes in either shape. Any other waits for the frontend
        until it has answered the first time, or ``LIMIT`` seconds.
        """
        if not answer.ByteSize():
            return answer
        if self._dialect is Dialect.UNKNOWN:
            self._tried.wait(LIMIT)
            self._warn()
        return in_new_shape(answer) if self._dialect is Dialect.NEXT else answer

    def _warn(self) -> None:
        if self._dialect is Dialect.UNKNOWN and not self._warned:
            self._warned = True
            logger.warning(
                "the engine's frontend does not say what it speaks: answers are those of engine "
                "0.6. Set %s to %s or %s in the application's environments if it cannot be reached",
                FLAME_DIALECT,
                Dialect.OLD,
                Dialect.NEXT,
            )

    def _find_out(self) -> None:
        while self._dialect is Dialect.UNKNOWN and not self._closed.is_set():
            try:
                found = self._ask()
            except FlameError as error:
                logger.info("the engine's frontend was not reached: %s", text_of(error))
                found = Dialect.UNKNOWN
            if found is not Dialect.UNKNOWN:
                self._dialect = found
            self._tried.set()
            if found is Dialect.UNKNOWN:
                self._closed.wait(PAUSE)
