"""Nodes and executors as the last look showed them, and what changed between two looks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flamepy.types import Executor, ExecutorState, Node
from flamepy.view.rows import ExecutorRow, NodeRow

_BOUND = (ExecutorState.BINDING, ExecutorState.BOUND, ExecutorState.UNBINDING)


class Machines:
    """What a look at nodes and executors showed.

    Attributes:
        known: they were read once.
        at: when they were read last.
        starts: services that were seen to begin; those that came and went between two looks are not
            counted.
    """

    def __init__(self) -> None:
        self.known = False
        self.at = 0.0
        self.starts = 0
        self.nodes: Sequence[Node] = ()
        self.executors: Sequence[Executor] = ()
        self._since: dict[str, tuple[ExecutorState, str | None, float]] = {}
        self._serving: dict[str, int] = {}

    def observe(self, nodes: Sequence[Node], executors: Sequence[Executor], at: float) -> None:
        """Record a look."""
        before, since = self._since, {}
        for one in executors:
            state, session, seen = before.get(one.id, (None, None, at))
            if (state, session) != (one.state, one.session_id):
                seen = at
                fresh = one.session_id is not None and session != one.session_id
                self.starts += self.known and fresh and one.state in _BOUND
            since[one.id] = (one.state, one.session_id, seen)
        self._since = since
        self._serving = {}
        for one in executors:
            if one.session_id and one.state in _BOUND:
                self._serving[one.session_id] = self._serving.get(one.session_id, 0) + 1
        self.nodes, self.executors = nodes, executors
        self.known, self.at = True, at

    @property
    def bound(self) -> int:
        """How many executors serve a session."""
        return sum(self._serving.values())

    @property
    def serving(self) -> dict[str, int]:
        """How many executors serve each session."""
        return self._serving

    def node_rows(self) -> list[NodeRow]:
        """Return the nodes by name."""
        rows = []
        for node in sorted(self.nodes, key=lambda one: one.name):
            here = [one for one in self.executors if one.node == node.name]
            rows.append(
                NodeRow(
                    name=node.name,
                    state=node.state.name.lower(),
                    cpu=node.capacity.cpu,
                    memory=node.capacity.memory,
                    gpu=node.capacity.gpu,
                    executors=len(here),
                    bound=sum(one.state in _BOUND for one in here),
                    arch=node.arch,
                    os=node.os,
                    addresses=tuple(node.addresses),
                )
            )
        return rows

    def executor_rows(self, application_of: Callable[[str], str]) -> list[ExecutorRow]:
        """Return the executors by node and id; ``application_of`` names that of a session."""
        return [
            ExecutorRow(
                id=one.id,
                state=one.state.name.lower(),
                node=one.node,
                session=one.session_id or "",
                application=application_of(one.session_id) if one.session_id else "",
                since=self._since[one.id][2],
            )
            for one in sorted(self.executors, key=lambda one: (one.node, one.id))
        ]
