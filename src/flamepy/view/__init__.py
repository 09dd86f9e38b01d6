"""What a person wants to see of an engine: one model for the dashboard, ``flamepy top``, programs.

Belongs here: totals, progress, reasons, failures by text, series over time, handlers, lag,
machines; kept current by events, never by scanning what is known. Does not belong here: drawing,
HTTP, terminals. Events come from the reactor's stream (``live``), which alone touches a reactor;
``model`` and everything it uses is pure. Rows (``rows``) go to ``flamepy.dashboard`` and to what
draws in a terminal.
"""

from flamepy.view.live import LiveView
from flamepy.view.model import ClusterView, ViewLimits
from flamepy.view.plain import plain
from flamepy.view.rows import (
    ApplicationRow,
    ExecutorRow,
    FailureGroup,
    FeedRow,
    HandlerRow,
    LagRow,
    NodeRow,
    OutboxRow,
    Overview,
    Page,
    Quantiles,
    SessionRow,
    TaskRow,
    Transition,
)
from flamepy.view.session_query import SessionQuery
from flamepy.view.task_query import TaskQuery

__all__ = [
    "ApplicationRow",
    "ClusterView",
    "ExecutorRow",
    "FailureGroup",
    "FeedRow",
    "HandlerRow",
    "LagRow",
    "LiveView",
    "NodeRow",
    "OutboxRow",
    "Overview",
    "Page",
    "Quantiles",
    "SessionQuery",
    "SessionRow",
    "TaskQuery",
    "TaskRow",
    "Transition",
    "ViewLimits",
    "plain",
]
