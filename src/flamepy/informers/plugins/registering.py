"""Registering loaded plugins with a reactor."""

from __future__ import annotations

from collections.abc import Callable

from flamepy.config.expansion import Expanded
from flamepy.errors import PluginError
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.plugins.loading import Plugin, left_out
from flamepy.texts import repr_of, text_of


def register_plugin(
    register: Callable[..., Registration],
    plugin: Plugin,
    check_running: Callable[[], None],
    *,
    strict: bool,
) -> None:
    """Register a plugin; one that is refused is logged and left out.

    Args:
        register: ``Reactor.register``.
        plugin: a loaded one.
        check_running: raises when the reactor was stopped meanwhile, which is not the plugin's.
        strict: raise instead.

    Raises:
        PluginError: ``strict``, and it was refused.
    """
    try:
        register(plugin.informer, **{"uid": plugin.name, "name": plugin.name, **plugin.arguments})
    except Exception as error:
        check_running()
        said = Expanded(None, plugin.secrets).hide(text_of(error))
        message = f"informer plugin {repr_of(plugin.name)} could not be registered: {said}"
        cause = None if plugin.secrets else error  # its text would be logged
        if strict:
            raise PluginError(message) from cause
        left_out(message, cause)
