"""``check_informer``: test an informer against everything that a real engine does.

It plays every situation of ``situations`` with a fresh informer, on a scripted engine and a real
reactor, and reports what its callbacks raised, which were too slow or hang, which threads stay::

    def test_alerts() -> None:
        check_informer(Alerts)
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.informers.informer import Informer
from flamepy.informers.options import Options
from flamepy.informers.outbox.sink import Sink
from flamepy.informers.reconcile.reconciler import Reconciler
from flamepy.runtime import log_relay
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.seconds import seconds
from flamepy.testing.key_situations import KEY_SITUATIONS
from flamepy.testing.observed import Observed
from flamepy.testing.situations import SITUATIONS, Play
from flamepy.testing.stage import LOOK_INTERVAL, WAIT_LIMIT, NotRegistered, Stage
from flamepy.texts import repr_of

HANGS = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with an informer.

    Attributes:
        situation: in which it showed.
        callback: of which callback; "" for what concerns the whole informer.
        text: what.
        error: the exception, if there was one.
    """

    situation: str
    callback: str
    text: str
    error: BaseException | None = None

    def __str__(self) -> str:
        callback = f"{self.callback} " if self.callback else ""
        return f"{self.situation}: {callback}{self.text}"


@dataclass(frozen=True, slots=True)
class SituationReport:
    """How one situation went."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if nothing was found."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class InformerReport:
    """The findings of ``check_informer``; ``str()`` of it has one line each.

    Attributes:
        informer: the name of its class.
        situations: how each went, in order.
        called: how often each callback was called, over all situations.
        left_out: situations that were not played, because the informer is unusable or hangs.
    """

    informer: str
    situations: tuple[SituationReport, ...]
    called: Counter[str] = field(default_factory=Counter)
    left_out: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found."""
        return [one for situation in self.situations for one in situation.findings]

    @property
    def ok(self) -> bool:
        """True if nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        lines = [
            f"{self.informer}: {len(self.situations)} situations, {len(self.findings)} findings"
        ]
        for one in self.situations:
            lines.append(f"  {'ok ' if one.ok else 'BAD'} {one.name}")
            lines.extend(f"      {finding}" for finding in one.findings)
        if self.left_out:
            lines.append(f"  not played: {'; '.join(self.left_out)}")
        return "\n".join(lines)


def check_informer(
    make: Callable[[], Informer],
    *,
    strict: bool = True,
    limit: float = 1.0,
    situations: Iterable[str] | None = None,
    threads: Collection[str] = (),
    payloads: bool = False,
    **options: Any,
) -> InformerReport:
    """Put fresh informers into every situation that engines bring about.

    It takes some seconds. Receivers that are connected to ``signals`` meanwhile are called as well.

    Args:
        make: an informer class, or a function without arguments that returns a new informer.
        strict: raise if anything is wrong, rather than only report it.
        limit: seconds that one callback may take.
        situations: names of those to play; all of them by default.
        threads: names of threads that may stay, ``*`` is any text: pools of other libraries.
        payloads: give the informer inputs and outputs, as ``Reactor(payloads=True)``.
        **options: of ``Reactor.register``: ``retry``, ``where``, ``transform``, ``batch_size`` ...

    Raises:
        AssertionError: something is wrong; each finding is named with situation, callback and
            exception.
        InvalidArgumentError: an argument is wrong.
    """
    chosen = _chosen(SITUATIONS, situations)
    return _report(
        make, chosen, strict, _InformerCheck("check_informer", limit, payloads, threads), options
    )


def check_reconciler(
    make: Callable[[], Reconciler],
    *,
    strict: bool = True,
    limit: float = 1.0,
    situations: Iterable[str] | None = None,
    threads: Collection[str] = (),
    **options: Any,
) -> InformerReport:
    """Put fresh reconcilers into every situation, and their keys into some more.

    Those of ``check_informer``, and: storms of events, four workers, keys that vanished before they
    were run, every key again though nothing changed, a stop in the middle of a run.

    Args:
        make: a ``Reconciler`` class, or a function without arguments that returns a new one.
        strict: raise if anything is wrong, rather than only report it.
        limit: seconds that one callback, or one run of ``reconcile``, may take.
        situations: names of those to play; all of them by default.
        threads: names of threads that may stay, ``*`` is any text: pools of other libraries.
        **options: of ``Reactor.register``, as of ``check_informer``.

    Raises:
        AssertionError: something is wrong; each finding is named with situation, method and
            exception.
        InvalidArgumentError: an argument is wrong, or it is not a reconciler.
    """
    if isinstance(make, type) and not issubclass(make, Reconciler):
        raise InvalidArgumentError(
            f"check_reconciler is for subclasses of Reconciler, got {repr_of(make)}; "
            "check_informer is for informers"
        )
    chosen = _chosen({**KEY_SITUATIONS, **SITUATIONS}, situations)
    return _report(
        make, chosen, strict, _InformerCheck("check_reconciler", limit, False, threads), options
    )


@dataclass(frozen=True, slots=True)
class _InformerCheck:
    """What an informer is held to, and by which function."""

    function: str
    limit: float
    payloads: bool
    threads: Collection[str]


def _report(
    make: Callable[[], Informer],
    chosen: dict[str, Play],
    strict: bool,
    bearing: _InformerCheck,
    options: dict[str, Any],
) -> InformerReport:
    _check_arguments(make, bearing.function, options)
    limit = seconds("limit", bearing.limit, zero=False)
    fresh, played = _Fresh(make), []
    called: Counter[str] = Counter()
    hangs = 0
    for title, play in chosen.items():
        check = _Check(title, limit, bearing.threads)
        check.play(Stage(fresh, options, limit=limit, payloads=bearing.payloads), play)
        called.update(check.called)
        played.append(SituationReport(title, tuple(check.findings)))
        hangs += check.hangs
        if check.unusable or hangs >= HANGS:
            break  # the others would report the same, and wait as long for it
    left_out = tuple(chosen)[len(played) :]
    report = InformerReport(fresh.name, tuple(played), called, left_out)
    if strict and not report.ok:
        more = [f"{len(left_out)} situations were not played"] if left_out else []
        raise AssertionError("\n".join([f"{report.informer}:", *map(str, report.findings), *more]))
    return report


class _Fresh:
    """Makes informers, sees that they are new ones, and knows their name."""

    def __init__(self, make: Callable[[], Informer]) -> None:
        self._make = make
        self._made: list[Informer] = []
        self.name: str = getattr(make, "__name__", "the informer")

    def __call__(self) -> Informer:
        made = self._make()
        if any(made is one for one in self._made):
            raise ValueError("the same informer again; each situation needs a new one")
        self._made.append(made)
        self.name = type(made).__name__
        return made


def _check_arguments(make: object, function: str, options: dict[str, Any]) -> None:
    if isinstance(make, Informer) or not callable(make):
        raise InvalidArgumentError(
            f"{function} needs a fresh informer for each situation: give the class, or a "
            f"function that returns a new one, not {repr_of(make)}"
        )
    own = {"replay", "queue_size", "uid", "application", "session"}
    known = sorted(set(Options.__dataclass_fields__) - own)
    for name in options:
        if name not in known:
            raise InvalidArgumentError(
                f"{function} has no option {repr_of(name)}; beside its own it takes those of "
                f"Reactor.register that situations do not choose: {', '.join(known)}"
            )
    Options(**options)


def _chosen(known: dict[str, Play], names: Iterable[str] | None) -> dict[str, Play]:
    if names is None:
        return known
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise InvalidArgumentError(
                f"there is no situation {repr_of(name)}; there are: {', '.join(known)}"
            )
    return {name: known[name] for name in wanted}


class _Check:
    """One situation with fresh informers, and what was found."""

    def __init__(self, situation: str, limit: float, threads: Collection[str]) -> None:
        self._situation = situation
        self._limit = limit
        self._allowed = threads
        self.findings: list[Finding] = []
        self.called: Counter[str] = Counter()
        self.hangs = 0
        self.unusable = False

    def play(self, stage: Stage, play: Play) -> None:
        before = set(threading.enumerate())
        failed: Exception | None = None
        try:
            with stage:
                play(stage)
                stage.wait_idle()
        except Exception as error:
            failed = error
        for observed in stage.observed:
            self._look(observed)
        if isinstance(failed, NotRegistered):
            self.unusable = True
            if not self.findings:  # else that is what ``attach`` raised
                self._add("", str(failed), failed.__cause__)
        elif failed is not None:
            self._add("", f"could not be played: {failed}", failed)
        self._look_for_threads(before)

    def _add(self, callback: str, text: str, error: BaseException | None = None) -> None:
        self.findings.append(Finding(self._situation, callback, text, error))

    def _look(self, observed: Observed) -> None:
        self.called.update(observed.called)
        unstarted = False
        for problem in observed.problems():
            self._add(problem.callback, problem.text, problem.error)
            unstarted |= problem.callback == "start"
        self.hangs += observed.hangs
        if observed.running:
            self.hangs += 1
            return
        if unstarted:  # tried again until the end, and neither called nor closed
            return
        for name in ("start", "close"):
            times = observed.called[name]
            # An outbox closes what it has opened: what was never sent to was never opened.
            unopened = name == "close" and isinstance(observed.informer, Sink) and times == 0
            if observed.registered and observed.has(name) and times != 1 and not unopened:
                self._add(name, f"was called {times} times, not once")

    def _look_for_threads(self, before: set[threading.Thread]) -> None:
        begun = monotonic()
        while left := self._left(before):
            # Ours, the witness's among them, end by themselves, late where the machine is slow.
            ours = all(one.name.startswith("flamepy-") for one in left)
            if monotonic() > begun + (WAIT_LIMIT if ours else self._limit):
                break
            threading.Event().wait(LOOK_INTERVAL)
        for thread in left:
            self._add("", f"the thread {repr_of(thread.name)} is still running; end it in close()")

    def _left(self, before: set[threading.Thread]) -> list[threading.Thread]:
        # The log's thread is the process's; those of ours hang with a callback that hangs.
        allowed = [*self._allowed, log_relay.NAME, *(["flamepy-*"] if self.hangs else [])]
        return [
            one
            for one in threading.enumerate()
            if one not in before and not any(fnmatchcase(one.name, name) for name in allowed)
        ]
