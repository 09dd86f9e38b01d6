"""What ``flamepy run`` runs, and how SIGHUP has it read again."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from flamepy.cli.serving.unsent import warn_of_unsent
from flamepy.config import FlameContext
from flamepy.errors import ConfigError, FlameError

if TYPE_CHECKING:
    from flamepy.informers import Reactor
    from flamepy.informers.plugins.loading import Plugin

logger = logging.getLogger(__name__)

NOTHING = (
    "there is nothing to run: no plugin is enabled that works; name one with --plugin or "
    "--informer, or below informers: in flame.yaml (`flamepy plugins check` shows them)"
)
NAMED = (
    "there is nothing to run: none of the plugins of --plugin could be made ({}), see above; their "
    "options are given below informers: in flame.yaml (--config FILE)"
)


class Hangups:
    """Notes SIGHUP from its making on; only the main thread makes one."""

    def __init__(self) -> None:
        self._received = False
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = True

    def take(self) -> bool:
        """Return whether one came since the last call."""
        received, self._received = self._received, False
        return received


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says of the informers.

    Attributes:
        names: of ``--plugin``.
        values: of ``--informer``.
        config, context, endpoint: of these options.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    config: str | None
    context: str | None
    endpoint: str | None

    def settings(self) -> FlameContext:
        """Read the configuration.

        Raises:
            ConfigError: it is unusable.
        """
        return FlameContext(self.endpoint, context=self.context, config_file=self.config)

    def plugins(self, settings: FlameContext, *, strict: bool) -> list[Plugin]:
        """Import and make the informers.

        Raises:
            ConfigError: there are none.
            PluginError: one is broken, and ``strict``, or two have the same ``uid``.
        """
        from flamepy.informers.plugins.loading import load_informer, load_plugins
        from flamepy.informers.plugins.reload_plan import plan_reload

        found = load_plugins(self.names or None, strict=strict, context=settings)
        with suppress(FileNotFoundError):  # the working folder was removed: nothing is in it
            if self.values and os.getcwd() not in sys.path:
                sys.path.insert(0, os.getcwd())
        found += [load_informer(value) for value in dict.fromkeys(self.values)]
        if not found:
            raise ConfigError(NOTHING if not self.names else NAMED.format(", ".join(self.names)))
        plan_reload({}, found)
        return found


class Reloader:
    """Called now and then on the main thread; reads the configuration again after SIGHUP.

    Args:
        reactor: a running one.
        plugins: with which it was started.
        settings: likewise.
        chosen: what the command line says.
        hangups: where the signals are noted.
        checkpoint: the reactor's file.
    """

    def __init__(
        self,
        reactor: Reactor,
        plugins: list[Plugin],
        settings: FlameContext,
        *,
        chosen: Chosen,
        hangups: Hangups,
        checkpoint: str | None = None,
    ) -> None:
        from flamepy.informers.plugins.reloading import ConfiguredInformers

        self._informers = ConfiguredInformers(reactor, plugins)
        self._reactor = reactor
        self._chosen = chosen
        self._hangups = hangups
        self._checkpoint = checkpoint
        self._settings = _fixed(settings)

    def __call__(self) -> None:
        """Reload if SIGHUP came; what fails is logged, and changes nothing."""
        if not self._hangups.take():
            return
        present = self._reactor.registrations
        try:
            plan = self._informers.reload(self._load)
        except FlameError as error:
            logger.error(
                "the configuration was not reloaded, and all runs as before: %s", error.message
            )
        else:
            logger.info("reloaded; %s", plan)
            if plan.removed:
                warn_of_unsent(self._checkpoint, self._reactor.registrations)
        for registration in present:
            if registration.active:
                registration.reopen()  # a new one has just opened its files

    def _load(self) -> list[Plugin]:
        settings = self._chosen.settings()
        plugins = self._chosen.plugins(settings, strict=True)
        changed = [
            name for name, one in _fixed(settings).items() if one != self._settings.get(name)
        ]
        if changed:
            logger.warning("%s changed, which takes effect at a restart", ", ".join(changed))
        return plugins


def _fixed(settings: FlameContext) -> dict[str, object]:
    """Return what only a restart changes, by the keys of the file."""
    calls = settings.call_options
    return {
        "cluster.endpoint": settings.endpoint,
        "cluster.tls": settings.tls,
        "cluster.keepalive": settings.keepalive,
        "cluster.token": calls.token,
        "cluster.metadata": calls.metadata,
        "retry": settings.retry,
        "reactor": settings.raw_reactor,
    }
