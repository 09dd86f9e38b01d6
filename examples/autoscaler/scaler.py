"""The reconciler, and a stand-in for what has the machines."""

import threading
import time
from dataclasses import dataclass, field

from flamepy.informers import ReconcileContext, Reconciler, Result, SessionEvent, TaskEvent


@dataclass
class Fleet:
    """Stands in for a cloud's API: how many machines an application has."""

    machines: dict[str, int] = field(default_factory=dict)
    started: threading.Event = field(default_factory=threading.Event)
    grown: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    def resize(self, name: str, number: int, reason: str) -> None:
        print(f"{name}: {self.machines.get(name, 0)} -> {number} machines, {reason}")
        self.machines[name] = number
        (self.grown if number else self.gone).set()


class Autoscaler(Reconciler):
    """Grows at once, and shrinks when fewer machines have been enough for a while.

    Args:
        fleet: what has the machines.
        tasks_per_machine: how many tasks one machine is to have.
        most: machines of one application at most.
        cooldown: seconds for which fewer have to be enough.
    """

    watch_tasks = False  # the counters of sessions are enough

    def __init__(self, fleet: Fleet, *, tasks_per_machine: int, most: int, cooldown: float) -> None:
        super().__init__()
        self.fleet, self.tasks_per_machine, self.most = fleet, tasks_per_machine, most
        self.cooldown = cooldown
        self.enough_since: dict[str, float] = {}

    def keys(self, event: TaskEvent | SessionEvent) -> str:
        return event.application

    def reconcile(self, key: str, ctx: ReconcileContext) -> Result | None:
        totals = ctx.applications.get(key)
        unfinished = totals.pending + totals.running if totals else 0
        wanted = min(self.most, -(-unfinished // self.tasks_per_machine))
        now = self.fleet.machines.get(key, 0)
        if wanted >= now:
            self.enough_since.pop(key, None)
            if wanted > now:
                self.fleet.resize(key, wanted, f"for {unfinished} tasks")
            return None
        since = self.enough_since.setdefault(key, time.monotonic())
        left = since + self.cooldown - time.monotonic()
        if left > 0:
            return Result(requeue_after=left)
        self.enough_since.pop(key)
        self.fleet.resize(key, wanted, f"since {wanted or 'none'} have been enough for a while")
        return None
