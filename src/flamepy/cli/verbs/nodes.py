"""``flamepy nodes``: the machines of an engine and their executors."""

from __future__ import annotations

from collections.abc import Sequence

import click

from flamepy.cli.engine import CALL_TIMEOUT, endpoint_option, engine
from flamepy.cli.showing.forms import Form, Record, output_option
from flamepy.cli.showing.output import show
from flamepy.types import Executor, ExecutorState, Node

COLUMNS = (
    *("name", "state", "cpu", "memory_gib", "gpu", "executors", "bound", "arch", "os"),
    "addresses",
)


@click.command()
@endpoint_option
@output_option()
def nodes(endpoint: str | None, form: Form | None) -> None:
    """List nodes and how many executors they run.

    BOUND counts the executors that serve a session.
    """
    with engine(endpoint) as connection:
        found = connection.list_nodes(timeout=CALL_TIMEOUT)
        executors = connection.list_executors(timeout=CALL_TIMEOUT)
    show([record(node, executors) for node in found], COLUMNS, form)


def record(node: Node, executors: Sequence[Executor]) -> Record:
    """Return what is shown of a node."""
    here = [executor for executor in executors if executor.node == node.name]
    return {
        "name": node.name,
        "state": node.state,
        "cpu": node.capacity.cpu,
        "memory": node.capacity.memory,
        "memory_gib": round(node.capacity.memory / 2**30, 1),
        "gpu": node.capacity.gpu,
        "executors": len(here),
        "bound": sum(executor.state == ExecutorState.BOUND for executor in here),
        "arch": node.arch,
        "os": node.os,
        "addresses": list(node.addresses),
        "executor_list": [
            {"id": one.id, "state": one.state, "session": one.session_id} for one in here
        ],
    }
