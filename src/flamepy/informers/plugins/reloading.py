"""``ConfiguredInformers``: those of a running reactor that follow a configuration.

``reload_plan`` decides. Here they are removed and registered; what fails halfway is undone, so that
a configuration is taken whole or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from flamepy.errors import FlameError, PluginError
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.plugins.loading import Plugin
from flamepy.informers.plugins.registering import register_plugin
from flamepy.informers.plugins.reload_plan import ReloadPlan, plan_reload

logger = logging.getLogger(__name__)

DRAIN_TIMEOUT = 10.0  # seconds in which one that goes handles what is queued


class Registers(Protocol):
    """What of a reactor is needed here."""

    @property
    def register(self) -> Callable[..., Registration]:
        """``Reactor.register``."""

    @property
    def registrations(self) -> list[Registration]:
        """The registered informers."""


class ConfiguredInformers:
    """The informers of one reactor that a configuration names. Methods are called on one thread.

    Args:
        reactor: a running one, with which ``plugins`` were registered.
        plugins: those that were loaded for it.
        drain_timeout: seconds in which one that is removed handles what is queued.
    """

    def __init__(
        self,
        reactor: Registers,
        plugins: Iterable[Plugin],
        *,
        drain_timeout: float = DRAIN_TIMEOUT,
    ) -> None:
        self._reactor = reactor
        self._drain = drain_timeout
        self._running: dict[str, tuple[Plugin, Registration]] = {}
        for plugin in plugins:
            self._note(plugin)

    def _note(self, plugin: Plugin) -> None:
        for one in self._reactor.registrations:
            if one.informer is plugin.informer:
                self._running[plugin.name] = plugin, one

    def reload(self, load: Callable[[], Iterable[Plugin]]) -> ReloadPlan:
        """Make the running informers those of a configuration; return what was done.

        One that did not change is not touched. What is new and what changed is made before
        anything is removed, so a broken configuration changes nothing.

        Args:
            load: reads the configuration and makes its informers.

        Raises:
            ConfigError, PluginError: it is broken, or an informer refused to be registered: all
                that ran before runs again.
        """
        plan = plan_reload({name: one for name, (one, _) in self._running.items()}, load())
        gone: list[Plugin] = []
        come: list[str] = []
        try:
            leaving = (*plan.removed, *(one.name for one in plan.changed))
            gone.extend(map(self._remove, leaving))
            for plugin in (*plan.changed, *plan.added):
                self._register(plugin)
                come.append(plugin.name)
        except FlameError:
            self._undo(gone, come)
            raise
        return plan

    def _remove(self, name: str) -> Plugin:
        plugin, registration = self._running.pop(name)
        registration.remove(wait=True, drain=True, timeout=self._drain)
        if not registration.ended:
            logger.warning(
                "%s was removed and still runs a callback; what it was called with may come again",
                name,
            )
        return plugin

    def _register(self, plugin: Plugin) -> None:
        register_plugin(self._reactor.register, plugin, lambda: None, strict=True)
        self._note(plugin)

    def _undo(self, gone: list[Plugin], come: list[str]) -> None:
        """Remove what has come, and register anew what has gone."""
        for name in come:
            self._remove(name)
        for plugin in gone:
            try:
                self._register(plugin if plugin.again is None else plugin.again())
            except PluginError as error:
                logger.error("%s could not be started again: %s", plugin.name, error.message)
