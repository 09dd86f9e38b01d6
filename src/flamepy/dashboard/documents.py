"""What each page shows, as documents for JSON, from a view and the words of an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of
from flamepy.view import LiveView, SessionQuery, SessionRow, TaskQuery, plain

Document = dict[str, Any]  # Any: what JSON takes
Words = Mapping[str, str]
Build = Callable[[LiveView, Words, float], Document]

SPANS = {"10m": 600.0, "2h": 7_200.0, "7d": 604_800.0}
FRESH = 3.0  # seconds; a younger age is shown as 0, so that it is no change
FEW, FEED_LINES, GROUPS = 8, 200, 100


def document(view: LiveView, page: str, words: Words, now: float) -> Document:
    """Return the document of a page.

    Args:
        view: of the engine.
        page: its name, one of ``PAGES``.
        words: of the address: filter, order, window.
        now: the moment.

    Raises:
        InvalidArgumentError: there is no such page, or a word is wrong.
    """
    build = PAGES.get(page)
    if build is None:
        raise InvalidArgumentError(
            f"there is no page {repr_of(page)}; there are: {', '.join(PAGES)}"
        )
    return {"top": top(view, now), **build(view, words, now)}


def top(view: LiveView, now: float) -> Document:
    """Return what every page shows of the engine."""
    shown: Document = plain(view.model.overview(now))
    for name in ("at", "polls", "calls", "call_failures", "restored"):
        del shown[name]
    for name in ("age", "away_for"):
        if shown[name] is not None:
            shown[name] = 0 if shown[name] < FRESH else int(shown[name])
    return _rounded(shown)


def _overview(view: LiveView, words: Words, now: float) -> Document:
    model = view.model
    attention = model.sessions(SessionQuery(state="attention", sort="-created", limit=FEW), now)
    active = model.sessions(SessionQuery(state="running", sort="-running", limit=FEW), now)
    failures = model.failures(limit=5, recent=True)
    return {
        **_series(view, words, now),
        "took": _rounded(plain(model.durations(now))),
        "applications": _applications(view, now)[:FEW],
        "attention": [session_dict(one) for one in attention.rows],
        "active": [session_dict(one) for one in active.rows],
        "failures": [{"key": one["text"], **one} for one in plain(failures.rows)],
        "feed": _feed(view, 12),
        "restored": int(model.overview(now).restored),
    }


def _series(view: LiveView, words: Words, now: float) -> Document:
    span = words.get("span") or "10m"
    if span not in SPANS:
        raise InvalidArgumentError(f"span must be one of {', '.join(SPANS)}; got {repr_of(span)}")
    return {"span": span, "series": plain(view.model.columns(now, SPANS[span]))}


def _applications(view: LiveView, now: float) -> list[Document]:
    rows = plain(view.model.application_rows(now))
    rows.sort(key=lambda one: (-one["counts"]["running"], -one["counts"]["pending"], one["name"]))
    return [{"key": one["name"], **_rounded(one)} for one in rows]


def _feed(view: LiveView, limit: int) -> list[Document]:
    return [{"key": str(one["id"]), **one} for one in plain(view.model.feed(limit))]


def _applications_page(view: LiveView, words: Words, now: float) -> Document:
    text = words.get("text", "").lower()
    return {"rows": [one for one in _applications(view, now) if text in one["name"].lower()]}


def session_query(words: Words) -> SessionQuery:
    """Return what an address asks for of the sessions. Raises InvalidArgumentError."""
    return SessionQuery(
        text=words.get("text", ""),
        application=words.get("application", ""),
        state=words.get("state", ""),
        sort=words.get("sort") or "-created",
        offset=whole(words, "offset", 0),
        limit=whole(words, "limit", 50),
    )


def _sessions(view: LiveView, words: Words, now: float) -> Document:
    page = view.model.sessions(session_query(words), now)
    rows = [session_dict(one) for one in page.rows]
    return {"rows": rows, "matched": page.matched, "total": page.total, "offset": page.offset}


def session_dict(row: SessionRow) -> Document:
    """Return what is shown of a session in a list."""
    shown: Document = plain(row)
    del shown["idle"]  # it changes all the time, and the reason says it
    return {"key": shown["id"], **_rounded(shown)}


def task_query(words: Words) -> TaskQuery:
    """Return what an address asks for of the tasks. Raises InvalidArgumentError."""
    states = tuple(one for one in words.get("state", "").split(",") if one)
    return TaskQuery(
        session=words.get("session", ""),
        application=words.get("application", ""),
        states=states,
        text=words.get("text", ""),
        sort=words.get("sort") or "-created",
        offset=whole(words, "offset", 0),
        limit=whole(words, "limit", 50),
    )


def _tasks(view: LiveView, words: Words, now: float) -> Document:
    query = task_query(words)
    page = view.tasks(query)
    model = view.model
    known = model.session(query.session, now) if query.session else None
    counts = model.counts if known is None else known.counts
    listed = page.total if not (query.states or query.application) else None
    return {
        "rows": [{"key": f"{one['session']}/{one['id']}", **one} for one in plain(page.rows)],
        "matched": page.matched,
        "total": counts.total,
        "offset": page.offset,
        "left_out": _left_out(view, counts.total, listed),
    }


def _left_out(view: LiveView, counted: int, listed: int | None) -> str:
    """Return why tasks that are counted are not listed, where that is so."""
    if listed is None or listed >= counted:
        return ""
    if not view.model.connection.synced:
        return f"{counted - listed:,} more are being read"
    return f"{counted - listed:,} that ended long ago are counted, and no longer listed"


def _session(view: LiveView, words: Words, now: float) -> Document:
    session_id = words.get("session", "")
    model = view.model
    row, info = model.session(session_id, now), model.session_info(session_id)
    if row is None or info is None:
        return {"session": None, "id": session_id}
    need = info.resreq
    return {
        "id": session_id,
        "session": {
            **session_dict(row),
            "batch_size": info.batch_size,
            "common_data": None if info.common_data is None else len(info.common_data),
            "resreq": plain(need) if need is not None else None,
        },
        "events": [
            {"code": int(one.code), "text": one.message or "", "at": plain(one.creation_time)}
            for one in info.events
        ][-20:],
        "executors": [
            {"key": one["id"], **one}
            for one in plain(model.executors())
            if one["session"] == session_id
        ],
        "tasks": _tasks(view, {**words, "application": ""}, now),
    }


def _task(view: LiveView, words: Words, now: float) -> Document:
    session_id, task_id = words.get("session", ""), words.get("task", "")
    found = view.reactor.tasks.get(session_id, task_id)
    return {
        "session": session_id,
        "id": task_id,
        "application": view.model.sessions_known.application_of(session_id),
        "state": None if found is None else found.state.name.lower(),
        "timeline": plain(view.model.timeline(session_id, task_id)),
    }


def _handlers(view: LiveView, words: Words, now: float) -> Document:
    rows = [{"key": one["name"], **_rounded(one)} for one in plain(view.model.handlers(now))]
    for one in rows:
        one["oldest_age"] = round(one["oldest_age"], 1)
        if one["running_for"] is not None:
            one["running_for"] = round(one["running_for"], 1)
    return {"rows": rows}


def _failures(view: LiveView, words: Words, now: float) -> Document:
    page = view.model.failures(
        limit=GROUPS,
        application=words.get("application", ""),
        recent=words.get("sort") == "last",
    )
    rows = [{"key": one["text"], **one} for one in plain(page.rows)]
    return {"rows": rows, "matched": page.matched, "left_out": page.left_out}


def _lag(view: LiveView, words: Words, now: float) -> Document:
    model, link = view.model, view.model.connection
    lag = plain(model.lag(now))
    return {
        "lag": {name: _rounded(lag[name]) for name in ("observed", "started", "done")},
        "by_source": [{"key": name, **_rounded(one)} for name, one in lag["by_source"]],
        "took": _rounded(plain(model.durations(now))),
        "polls": link.polls,
        "calls": link.calls,
        "call_failures": link.call_failures,
        "drifts": link.drifts,
        "missed": link.missed,
        "read": plain(model.observed),
        "counted": plain(model.counts),
    }


def _feed_page(view: LiveView, words: Words, now: float) -> Document:
    kind = words.get("kind", "")
    rows = _feed(view, FEED_LINES)
    return {"rows": [one for one in rows if not kind or one["kind"] == kind]}


def _nodes(view: LiveView, words: Words, now: float) -> Document:
    model = view.model
    return {
        "nodes": [{"key": one["name"], **one} for one in plain(model.nodes())],
        "executors": [{"key": one["id"], **one} for one in plain(model.executors())],
        "known": model.machines.known,
    }


def whole(words: Words, name: str, default: int) -> int:
    """Return a whole number of an address. Raises InvalidArgumentError."""
    text = words.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise InvalidArgumentError(f"{name} must be a whole number >= 0, got {repr_of(text)}")
    return int(text)


def _rounded(row: Document) -> Document:
    """Return a row whose rates and durations change when a person would see it."""
    return {
        name: float(f"{one:.3g}") if isinstance(one, float) and one < 1e6 else one
        for name, one in row.items()
    }


PAGES: dict[str, Build] = {
    "overview": _overview,
    "applications": _applications_page,
    "sessions": _sessions,
    "session": _session,
    "tasks": _tasks,
    "task": _task,
    "failures": _failures,
    "handlers": _handlers,
    "lag": _lag,
    "feed": _feed_page,
    "nodes": _nodes,
}
