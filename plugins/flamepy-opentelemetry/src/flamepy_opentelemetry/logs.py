"""Log records of flamepy, and what went wrong with tasks and sessions, as OpenTelemetry's records.

A record that names a task gets the context of that task's trace, one that is written inside a span
that span's. Records of other libraries are left to OpenTelemetry's own handler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry._logs import LoggerProvider, SeverityNumber, get_logger
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from flamepy_opentelemetry import names

ContextOf = Callable[[str, str], Context | None]
FIELDS = {"session": names.SESSION_ID, "task": names.TASK_ID, "application": names.APPLICATION}
FIELDS["informer"] = names.INFORMER
SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (logging.DEBUG, SeverityNumber.DEBUG),
)


class LogBridge(logging.Handler):
    """Gives log records of the logger ``flamepy`` and those below it to a logger provider.

    Args:
        level: the least level.
        context_of: returns the context of a task by session id and task id; None if not known.
        provider: None: the process's.
    """

    def __init__(
        self, level: int, context_of: ContextOf, provider: LoggerProvider | None = None
    ) -> None:
        super().__init__(level)
        self._context_of = context_of
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        """Give one record away. What the provider raises is handled as of any log handler."""
        try:
            attributes: dict[str, AttributeValue] = {"code.function.name": record.funcName}
            for field, name in FIELDS.items():
                value = getattr(record, field, None)
                if value:
                    attributes[name] = str(value)
            error = record.exc_info[1] if record.exc_info else None
            get_logger(record.name, names.VERSION, self._provider).emit(
                timestamp=int(record.created * 1e9),
                context=self._context(record),
                severity_number=severity_of(record.levelno),
                severity_text=record.levelname,
                body=record.getMessage(),
                attributes={**attributes, **_exception(error)},
            )
        except Exception:
            self.handleError(record)

    def _context(self, record: logging.LogRecord) -> Context | None:
        session_id, task_id = (getattr(record, name, None) for name in ("session", "task"))
        if trace.get_current_span().get_span_context().is_valid or not session_id or not task_id:
            return None  # the current one
        return self._context_of(str(session_id), str(task_id))


class TaskEvents:
    """Emits an event record for what went wrong, in the trace of its task."""

    def __init__(self, provider: LoggerProvider | None = None) -> None:
        self._provider = provider

    def emit(
        self,
        name: str,
        body: str,
        at: int,
        attributes: dict[str, AttributeValue],
        *,
        context: Context | None = None,
        error: bool = False,
    ) -> None:
        """Emit one.

        Args:
            name: the event's, such as ``flame.task.failed``.
            body: text for people.
            at: nanoseconds since the epoch.
            attributes: of the task or session.
            context: of the task's trace.
            error: severity ERROR rather than WARN.
        """
        severity = SeverityNumber.ERROR if error else SeverityNumber.WARN
        get_logger(names.SCOPE, names.VERSION, self._provider).emit(
            timestamp=at,
            context=context or Context(),
            severity_number=severity,
            severity_text=severity.name,
            body=body,
            attributes=attributes,
            event_name=name,
        )


def severity_of(level: int) -> SeverityNumber:
    """Return the severity of a level of the standard library."""
    return next((number for least, number in SEVERITIES if level >= least), SeverityNumber.TRACE)


def _exception(error: BaseException | None) -> dict[str, AttributeValue]:
    if error is None:
        return {}
    return {"exception.type": type(error).__qualname__, "exception.message": str(error)}
