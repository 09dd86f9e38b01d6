"""The report as one HTML page: no script, no request, light and dark, for paper as well. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from flamepy.recording.report import (
    STATES,
    Percentiles,
    Report,
    SessionLine,
    TaskLine,
    moment,
)
from flamepy.recording.style import STYLE

WIDTH, HEIGHT = 900, 180
ROW = 16
LABEL = 220  # of the timeline
_Place = Callable[[float], float]
COLOURS = {"succeed": "ok", "failed": "bad", "cancelled": "off", "running": "run"}


def render(report: Report) -> str:
    """Return the page."""
    sections = [
        _head(report),
        _section("Throughput", _throughput(report)),
        _section("Durations", _durations(report)),
        _section("Failures", _failures(report)),
        _section("Slowest tasks", _slowest(report)),
        _section("Timeline", _timeline(report)),
        _section("Sessions", _sessions(report)),
        _section("Handlers", _handlers(report)),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(report.title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _text(text: object) -> str:
    """Return a text for HTML; control characters and marks that turn text round are shown."""
    shown = "".join(
        one if one.isprintable() or one in "\n\t" else repr(one)[1:-1] for one in str(text)
    )
    return escape(shown)


def _section(title: str, body: str) -> str:
    if not body:
        return ""
    return f"<section><h2>{title}</h2>{body}</section>"


def _head(report: Report) -> str:
    span = max(report.end - report.begin, 0.0)
    ended = sum(report.states.get(one, 0) for one in STATES)
    failed = report.states.get("failed", 0)
    observed = sum(sum(one.values()) for one in report.ends)
    rate = f"{observed / span:,.1f}/s" if span else "-"
    share = f"{100 * failed / ended:.1f} %" if ended else "-"
    cards = [
        ("tasks", f"{report.tasks:,}", ""),
        ("succeeded", f"{report.states.get('succeed', 0):,}", "ok"),
        ("failed", f"{failed:,}", "bad" if failed else ""),
        ("failure rate", share, "bad" if failed else ""),
        ("throughput", rate, ""),
        ("sessions", f"{len(report.sessions) + report.more_sessions:,}", ""),
    ]
    if ended > observed:
        cards.append(("ended before it", f"{ended - observed:,}", ""))
    left = report.tasks - ended
    if left:
        cards.append(("not ended", f"{left:,}", ""))
    if report.requeued:
        cards.append(("requeued", f"{report.requeued:,}", ""))
    shown = "".join(
        f'<div class="card {kind}"><b>{value}</b><span>{name}</span></div>'
        for name, value, kind in cards
    )
    begin, end = moment(report.begin), moment(report.end)
    period = f"{begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC, {_span(span)}"
    about = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in report.about.items()
    )
    return (
        f"<header><h1>{_text(report.title)}</h1><p>{period}</p>"
        f'<dl>{about}</dl></header><div class="cards">{shown}</div>'
    )


# ---------------------------------------------------------------------- charts


def _throughput(report: Report) -> str:
    if not report.tasks:
        return "<p>No task was observed.</p>"
    most = max((sum(one.values()) for one in report.ends), default=0) or 1
    step = WIDTH / len(report.ends)
    bars = []
    for index, counts in enumerate(report.ends):
        y = float(HEIGHT)
        at = moment(report.begin + index * report.bucket).strftime("%H:%M:%S")
        said = ", ".join(f"{counts[one]:,} {one}" for one in STATES if counts.get(one))
        for state in STATES:
            height = HEIGHT * counts.get(state, 0) / most
            if not height:
                continue
            y -= height
            bars.append(
                f'<rect class="{COLOURS[state]}" x="{index * step:.1f}" y="{y:.1f}" '
                f'width="{max(step - 0.6, 0.6):.1f}" height="{height:.1f}">'
                f"<title>{at}: {said}</title></rect>"
            )
    peak = max(report.running, default=0)
    line = ""
    if peak:
        points = " ".join(
            f"{(index + 0.5) * step:.1f},{HEIGHT - HEIGHT * level / peak * 0.95:.1f}"
            for index, level in enumerate(report.running)
        )
        line = f'<polyline class="line" points="{points}"/>'
    legend = " ".join(f'<i class="{COLOURS[one]}"></i>{one}' for one in STATES)
    running = f' <i class="line"></i>running, at most {peak:,}' if peak else ""
    return (
        f'<p class="legend">{legend}{running}; a bar is {_span(report.bucket)}, the highest has '
        f"{most:,} ends</p>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 18}" role="img" aria-label="ends of tasks by time">'
        f"{''.join(bars)}{line}{_axis(report, 0, WIDTH, HEIGHT)}</svg>"
    )


def _axis(report: Report, left: int, right: int, y: float) -> str:
    marks = []
    for index in range(6):
        x = left + (right - left) * index / 5
        at = moment(report.begin + (report.end - report.begin) * index / 5)
        anchor = "start" if index == 0 else "end" if index == 5 else "middle"
        marks.append(
            f'<text x="{x:.0f}" y="{y + 14:.0f}" text-anchor="{anchor}">{at:%H:%M:%S}</text>'
        )
    return f'<line class="axis" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>{"".join(marks)}'


def _durations(report: Report) -> str:
    if not report.durations:
        return ""
    each = "".join(_duration(*one) for one in report.durations.items())
    return f'<div class="columns">{each}</div>'


def _duration(name: str, values: Percentiles) -> str:
    most = max((count for _, _, count in values.histogram), default=1) or 1
    rows = "".join(
        f'<tr><td class="n">{_span(low)} - {_span(high)}</td><td class="n">{count:,}</td>'
        f'<td class="bar"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="run" width="{100 * count / most:.1f}" height="8"/></svg></td></tr>'
        for low, high, count in values.histogram
    )
    return (
        f"<div><h3>{name}</h3><p>{values.number:,} tasks: median <b>{_span(values.p50)}</b>, 90 % "
        f"within <b>{_span(values.p90)}</b>, 99 % within <b>{_span(values.p99)}</b>, at most "
        f'<b>{_span(values.most)}</b></p><table class="histogram">{rows}</table></div>'
    )


def _timeline(report: Report) -> str:
    if not report.timeline:
        return ""
    span = max(report.end - report.begin, 1e-9)
    width = WIDTH - LABEL

    def x(at: float) -> float:
        return LABEL + width * min(max((at - report.begin) / span, 0.0), 1.0)

    rows = [_timeline_row(one, index * ROW, x, report) for index, one in enumerate(report.timeline)]
    away = "".join(
        f'<rect class="away" x="{x(begin):.1f}" y="0" width="{max(x(end) - x(begin), 1):.1f}" '
        f'height="{ROW * len(rows)}"><title>the engine was away</title></rect>'
        for begin, end in report.outages
    )
    height = ROW * len(rows)
    more = ""
    if report.more_timeline:
        kind = "sessions" if isinstance(report.timeline[0], SessionLine) else "shorter tasks"
        more = f"<p>{report.more_timeline:,} more {kind} are not shown.</p>"
    return (
        f'<svg viewBox="0 0 {WIDTH} {height + 18}" role="img" aria-label="timeline">'
        f"{away}{''.join(rows)}{_axis(report, LABEL, WIDTH, height)}</svg>{more}"
    )


def _timeline_row(one: TaskLine | SessionLine, y: int, x: _Place, report: Report) -> str:
    if isinstance(one, SessionLine):
        name, begin, end = one.id, one.begun, one.last
        kind = "bad" if one.counts.get("failed") else "ok" if one.state != "open" else "run"
        said = ", ".join(f"{number:,} {state}" for state, number in one.counts.items() if number)
        title = f"{one.id}: {one.state}; {said or 'no task'}"
        waits = ""
    else:
        name = f"task {one.task}"
        begin = one.started if one.started is not None else one.seen
        end = one.ended if one.ended is not None else report.end
        kind = COLOURS.get(one.state, "off")
        title = f"task {one.task}: {one.state}" + (f"; {one.error}" if one.error else "")
        waits = (
            f'<rect class="wait" x="{x(one.seen):.1f}" y="{y + 5}" '
            f'width="{max(x(begin) - x(one.seen), 0):.1f}" height="6"/>'
        )
    shown = name if len(name) <= 32 else f"{name[:14]}...{name[-14:]}"
    return (
        f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{_text(shown)}</text>{waits}'
        f'<rect class="{kind}" x="{x(begin):.1f}" y="{y + 3}" '
        f'width="{max(x(end) - x(begin), 1.5):.1f}" height="10">'
        f"<title>{_text(title[:300])}</title></rect>"
    )


# ---------------------------------------------------------------------- tables


def _table(titles: Sequence[str], rows: Iterable[Sequence[tuple[str, str]]]) -> str:
    """Return a table; a cell is its class and its HTML."""
    rows = list(rows)
    kinds = [kind for kind, _ in rows[0]] if rows else [""] * len(titles)
    head = "".join(
        f'<th class="{"n" if kind == "n" else ""}">{title}</th>'
        for title, kind in zip(titles, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{text}</td>' for kind, text in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _failures(report: Report) -> str:
    if not report.failures:
        return '<p class="fine">No task failed.</p>' if report.tasks else ""
    rows = [
        (
            ("n", f"{one.number:,}"),
            ("t", _text(one.text)),
            ("", f"{moment(one.first):%H:%M:%S}"),
            ("", f"{moment(one.last):%H:%M:%S}"),
            ("t", _text(one.example)),
        )
        for one in report.failures
    ]
    more = f"<p>{report.more_failures:,} more texts are not shown.</p>"
    table = _table(("times", "text", "first", "last", "for example"), rows)
    return table + (more if report.more_failures else "")


def _slowest(report: Report) -> str:
    rows = [
        (
            ("t", _text(f"{one.session}/{one.task}")),
            (COLOURS.get(one.state, ""), one.state),
            ("n", _optional(one.waited)),
            ("n", _optional(one.ran)),
            ("n", _optional(one.took)),
        )
        for one in report.slowest
    ]
    return _table(("task", "state", "waited", "ran", "in all"), rows) if rows else ""


def _sessions(report: Report) -> str:
    names = ("pending", "running", *STATES)
    rows = [
        (
            ("t", _text(one.id)),
            ("t", _text(one.application)),
            ("", one.state),
            *(("n", f"{one.counts.get(name, 0):,}") for name in names),
            ("n", _span(one.last - one.begun)),
            ("t", _text("; ".join(dict.fromkeys(one.events)))[:400]),
        )
        for one in report.sessions
    ]
    if not rows:
        return ""
    more = f"<p>{report.more_sessions:,} more sessions, with fewer tasks, are not shown.</p>"
    table = _table(("session", "application", "state", *names, "seen for", "events"), rows)
    return table + (more if report.more_sessions else "")


def _handlers(report: Report) -> str:
    names = ("name", "state", "delivered", "queued", "failures", "retries", "dead", "missed")
    rows = [
        [("t" if name in ("name", "state") else "n", _text(one.get(name, "-"))) for name in names]
        for one in report.handlers
    ]
    return _table(names, rows) if rows else ""


def _optional(seconds: float | None) -> str:
    return "-" if seconds is None else _span(seconds)


def _span(seconds: float) -> str:
    """Return seconds in two units at most: ``1 h 5 min``, ``12.5 s``, ``3 ms``."""
    if seconds < 1:
        return f"{seconds * 1000:,.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"
