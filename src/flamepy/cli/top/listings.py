"""Which rows a page of ``flamepy top`` has: the place where a person is, and what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flamepy.cli.top import columns
from flamepy.cli.top.remote import RemoteHandlers
from flamepy.view import LiveView, Page, SessionQuery, SessionRow, TaskQuery, TaskRow

ROWS = 500  # of one page; the note says how many there are
PAGES = ("sessions", "tasks", "applications", "failures", "handlers", "executors", "feed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a person is.

    Attributes:
        page: one of ``PAGES``, or ``task``.
        session: whose tasks are shown; "" for all.
        task: which one, on the page ``task``.
        text: the filter.
        sort: a column by which it is sorted, as the page's query takes it.
    """

    page: str = "sessions"
    session: str = ""
    task: str = ""
    text: str = ""
    sort: str = "-created"

    def sorted_next(self, shown: columns.AnyColumns) -> Place:
        """Return the place sorted by the next column that can be sorted by."""
        names = [one.sort for one in shown if one.sort]
        if not names:
            return self
        now = self.sort.removeprefix("-")
        after = names[(names.index(now) + 1) % len(names)] if now in names else names[0]
        return replace(self, sort=f"-{after}")

    def turned(self) -> Place:
        """Return the place sorted the other way round."""
        sort = self.sort.removeprefix("-") if self.sort.startswith("-") else f"-{self.sort}"
        return replace(self, sort=sort)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a page shows.

    Attributes:
        columns: how.
        rows: what, each with its key.
        note: what is left out, and what to do then; "" if nothing.
    """

    columns: columns.AnyColumns
    rows: Sequence[tuple[str, Any]]  # Any: a row of ``flamepy.view``
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the pages are made of.

    Attributes:
        view: the engine.
        handlers: the informers of another process; None without one.
        width: columns of the terminal.
    """

    view: LiveView
    handlers: RemoteHandlers | None = None
    width: int = 120


def listing(sources: Sources, place: Place, now: float) -> Listing:
    """Return what is there.

    Raises:
        InvalidStateError: the reactor does not run.
    """
    return _PAGES[place.page](sources, place, now)


def _sessions(sources: Sources, place: Place, now: float) -> Listing:
    query = SessionQuery(text=place.text, sort=place.sort, limit=ROWS)
    page: Page[SessionRow] = sources.view.model.sessions(query, now)
    rows = [(one.id, one) for one in page.rows]
    return Listing(columns.sessions(now, width=sources.width), rows, _note(page, "sessions"))


def _tasks(sources: Sources, place: Place, now: float) -> Listing:
    query = TaskQuery(session=place.session, text=place.text, sort=place.sort, limit=ROWS)
    page: Page[TaskRow] = sources.view.tasks(query)
    rows = [(f"{one.session}/{one.id}", one) for one in page.rows]
    return Listing(columns.tasks(now), rows, _note(page, "tasks"))


def _task(sources: Sources, place: Place, now: float) -> Listing:
    found = sources.view.model.timeline(place.session, place.task)
    note = "" if found else "nothing of it was observed; it may have ended before this began"
    return Listing(columns.TRANSITIONS, [(str(n), one) for n, one in enumerate(found)], note)


def _applications(sources: Sources, place: Place, now: float) -> Listing:
    rows = sources.view.model.application_rows(now)
    return Listing(
        columns.APPLICATIONS, [(one.name, one) for one in rows if place.text in one.name]
    )


def _failures(sources: Sources, place: Place, now: float) -> Listing:
    page = sources.view.model.failures(limit=ROWS)
    rows = [(one.text, one) for one in page.rows if place.text in one.text]
    note = page.left_out or ("" if page.rows else "no task has failed since this began")
    return Listing(columns.FAILURES, rows, note)


def _handlers(sources: Sources, place: Place, now: float) -> Listing:
    if sources.handlers is None:
        note = "--http HOST:PORT of a flamepy run shows its informers here"
        return Listing(columns.HANDLERS, (), note)
    rows = [(one.name, one) for one in sources.handlers.rows(now)]
    note = sources.handlers.error or ("" if rows else "that process has no informer")
    return Listing(columns.HANDLERS, rows, note)


def _executors(sources: Sources, place: Place, now: float) -> Listing:
    rows = [(one.id, one) for one in sources.view.model.executors()]
    return Listing(columns.EXECUTORS, rows, "" if rows else "the engine has shown no executor yet")


def _feed(sources: Sources, place: Place, now: float) -> Listing:
    rows = [
        (str(one.id), one) for one in sources.view.model.feed(ROWS) if place.text in one.session
    ]
    return Listing(columns.FEED, rows, "" if rows else "nothing has happened since this began")


def _note(page: Page[Any], noun: str) -> str:
    if page.matched > len(page.rows):
        return f"{len(page.rows):,} of {page.matched:,} {noun} are shown: / narrows them down"
    if page.rows:
        return page.left_out
    if page.total:
        return f"none of {page.total:,} {noun} matches: escape ends the filter"
    return page.left_out or f"no {noun} yet: flamepy submit APPLICATION DATA makes some"


_PAGES: dict[str, Callable[[Sources, Place, float], Listing]] = {
    "sessions": _sessions,
    "tasks": _tasks,
    "task": _task,
    "applications": _applications,
    "failures": _failures,
    "handlers": _handlers,
    "executors": _executors,
    "feed": _feed,
}
