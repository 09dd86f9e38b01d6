"""What a new configuration changes: which informers come, go, or are made anew. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flamepy.errors import PluginError
from flamepy.informers.plugins.loading import Plugin
from flamepy.texts import repr_of


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """What is to be done about the informers of a configuration.

    Attributes:
        added: those that are new.
        changed: those that are made or registered in another way.
        removed: names of those that are gone.
        kept: names of those that are as they were.
    """

    added: tuple[Plugin, ...] = ()
    changed: tuple[Plugin, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def __str__(self) -> str:
        parts = []
        for what, names in (
            ("added", [one.name for one in self.added]),
            ("changed", [one.name for one in self.changed]),
            ("removed", self.removed),
            ("unchanged", self.kept),
        ):
            if names:
                parts.append(f"{what}: {', '.join(names)}")
        return "; ".join(parts) or "no informers"


def plan_reload(running: Mapping[str, Plugin], wanted: Iterable[Plugin]) -> ReloadPlan:
    """Return what makes the running informers the wanted ones.

    Args:
        running: by name.
        wanted: of the new configuration, loaded and checked.

    Raises:
        PluginError: two have the same name in a checkpoint.
    """
    wanted = list(wanted)
    names = {one.name for one in wanted}
    _check_uids(wanted)
    present = [one for one in wanted if one.name in running]
    kept = [one for one in present if one.made_of == running[one.name].made_of]
    return ReloadPlan(
        added=tuple(one for one in wanted if one.name not in running),
        changed=tuple(one for one in present if one not in kept),
        removed=tuple(name for name in running if name not in names),
        kept=tuple(one.name for one in kept),
    )


def _check_uids(wanted: Iterable[Plugin]) -> None:
    """Refuse two with one ``uid``: the second would not be registered."""
    taken: dict[object, str] = {}
    for one in wanted:
        uid = one.arguments.get("uid", one.name)
        other = taken.setdefault(uid, one.name)
        if other != one.name:
            raise PluginError(
                f"the informers {repr_of(other)} and {repr_of(one.name)} have the uid "
                f"{repr_of(uid)}: give each one of its own"
            )
