"""``check_sink``: test a sink against what receivers do.

It plays every situation with a fresh sink, on a scripted engine, a real reactor and its outbox, and
compares what ``send`` answered with what the receiver has::

    def test_my_sink(receiver: MyReceiver) -> None:
        check_sink(lambda: MySink(url=receiver.url), receiver)
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from flamepy.errors import InvalidArgumentError
from flamepy.informers.outbox.sink import Sink
from flamepy.runtime.seconds import seconds
from flamepy.testing.checking import Finding, InformerReport, SituationReport
from flamepy.testing.sink_run import SinkReceiver, SinkRun
from flamepy.texts import repr_of, text_of

Play = Callable[[SinkRun], None]
_numbers = itertools.count(1)


def _well(run: SinkRun) -> None:
    run.life("well")
    run.wait_sent()


def _slow(run: SinkRun) -> None:
    run.life("slow")
    run.wait_tried()
    run.behave("well")
    run.wait_sent()


def _down(run: SinkRun) -> None:
    run.life("down")
    run.wait_tried()
    run.behave("well")
    run.wait_sent()


def _half(run: SinkRun) -> None:
    run.gather()
    run.life("half")
    run.wait_came_through()
    run.behave("well")
    run.wait_sent()


def _refusing(run: SinkRun) -> None:
    run.life("refusing")
    run.wait_given_up()


def _killed(run: SinkRun) -> None:
    run.lose_answers()
    run.life("well")
    run.wait_tried()
    run.restart()
    run.wait_sent()


def _stopped(run: SinkRun) -> None:
    run.life("down")
    run.wait_tried()
    run.stop()
    run.behave("well")
    run.restart()
    run.wait_sent()


SINK_SITUATIONS: dict[str, Play] = {
    "a receiver that takes everything": _well,
    "a receiver that is slow": _slow,
    "a receiver that is down": _down,
    "a receiver that takes half": _half,
    "a receiver that refuses for good": _refusing,
    "killed before the answer was stored": _killed,
    "stopped while the receiver is down": _stopped,
}
"""The situations by name, in the order in which they are played."""


def check_sink(
    make: Callable[[], Sink],
    receiver: SinkReceiver,
    *,
    strict: bool = True,
    limit: float = 10.0,
    situations: Iterable[str] | None = None,
    secrets: Iterable[str] = (),
) -> InformerReport:
    """Put fresh sinks before a receiver that does what receivers do.

    It takes some seconds. What is found: events that ``send`` said were sent and that the receiver
    does not have; events that it has and that were sent again; a wrong order; a refusal that is not
    reported as one; a ``send`` that takes longer than ``limit``; a secret that is shown.

    Args:
        make: a function without arguments that returns a new sink, which sends to ``receiver``.
        receiver: where it sends to.
        strict: raise if anything is wrong, rather than only report it.
        limit: seconds that one ``send`` may take.
        situations: names of those to play; all of them by default.
        secrets: texts that no log record, ``repr``, error and dead letter may have.

    Raises:
        AssertionError: something is wrong; each finding is named with its situation.
        InvalidArgumentError: an argument is wrong.
    """
    if isinstance(make, Sink) or not callable(make):
        raise InvalidArgumentError(
            "check_sink needs a fresh sink for each situation: give a function that returns a new "
            f"one, not {repr_of(make)}"
        )
    limit = seconds("limit", limit, zero=False)
    hidden = (secrets,) if isinstance(secrets, str) else tuple(secrets)
    name, played = "the sink", []
    for title in _chosen(situations):
        with tempfile.TemporaryDirectory(prefix="flamepy-check-") as folder:
            run = SinkRun(
                make,
                receiver,
                file=Path(folder) / "state.db",
                session=f"check-{next(_numbers)}",
                limit=limit,
                secrets=hidden,
            )
            played.append(_play(run, title))
            name = run.name
    report = InformerReport(name, tuple(played))
    if strict and not report.ok:
        raise AssertionError("\n".join([f"{name}:", *map(str, report.findings)]))
    return report


def _chosen(names: Iterable[str] | None) -> list[str]:
    wanted = list(SINK_SITUATIONS) if names is None else [names] if isinstance(names, str) else None
    chosen = list(names or ()) if wanted is None else wanted
    for one in chosen:
        if one not in SINK_SITUATIONS:
            raise InvalidArgumentError(
                f"there is no situation {repr_of(one)}; there are: {', '.join(SINK_SITUATIONS)}"
            )
    return chosen


def _play(run: SinkRun, title: str) -> SituationReport:
    found: list[str] = []
    try:
        with run:
            SINK_SITUATIONS[title](run)
    except Exception as error:
        found.append(text_of(error))
    found += [one for one in run.problems() if one not in found]
    with suppress(Exception):
        run.receiver.behave("well")
    return SituationReport(title, tuple(Finding(title, "send", one) for one in found))
