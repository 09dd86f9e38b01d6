"""Whether the spec of an OpenSession is that of the session it names. Pure.

``common_data`` and ``batch_size`` are not compared; an unset resreq is the default one, as in an
engine (docs/protocol.md#sessions).
"""

from __future__ import annotations

from flamepy.local.state.defaults import DEFAULT_RESOURCES
from flamepy.local.state.refusal import Refusal
from flamepy.local.state.rows import SessionRow
from flamepy.types import ResourceRequirement, SessionAttributes


def compare(row: SessionRow, spec: SessionAttributes) -> None:
    """Raise Refusal with the first difference, in the engine's order and words."""
    pairs = (
        ("application", f"'{row.application}'", f"'{spec.application}'"),
        ("resreq", _resources(row.resreq), _resources(spec.resreq or DEFAULT_RESOURCES)),
        ("min_instances", str(row.min_instances), str(spec.min_instances)),
        ("max_instances", _option(row.max_instances), _option(spec.max_instances)),
        ("priority", str(row.priority), str(spec.priority)),
    )
    for field, expected, got in pairs:
        if expected != got:
            raise Refusal(
                "INVALID_ARGUMENT",
                f"session <{row.id}> spec mismatch: {field} differs "
                f"(expected {expected}, got {got})",
            )


def _option(value: int | None) -> str:
    return "None" if value is None else f"Some({value})"


def _resources(value: ResourceRequirement) -> str:
    return (
        f"Some(ResourceRequirement {{ cpu: {value.cpu}, memory: {value.memory}, "
        f"gpu: {value.gpu} }})"
    )
