"""Informer plugins: loading the enabled ones, and what is said of broken ones.

A plugin is an entry point of the group ``flamepy.informers``: a subclass of ``TaskInformer`` or
``SessionInformer``, or a function that returns an instance, taking its options as keyword
arguments. Which are enabled, first match wins: the caller, ``FLAME_INFORMERS`` (names, comma
separated; empty means none), ``informers:`` of the context in ``flame.yaml``. Nothing is loaded
before a reactor starts. See docs/plugins.md.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from typing import Any, TypeAlias

from flamepy.config import FlameContext, FlameInformer
from flamepy.errors import ConfigError, FlameError, InvalidArgumentError, PluginError
from flamepy.informers.arguments import scope_of
from flamepy.informers.delivery.callbacks import Callbacks
from flamepy.informers.delivery.refusals import check_batches, check_sink
from flamepy.informers.informer import Informer, SessionInformer, TaskInformer
from flamepy.informers.options import Options as RegisterOptions
from flamepy.informers.plugins.discovery import GROUP, PluginInfo, discover
from flamepy.informers.plugins.settings import arguments_of
from flamepy.informers.predicates import check_judges
from flamepy.runtime.repeats import RepeatedLog
from flamepy.texts import described, repr_of, text_of

__all__ = ["Plugin", "PluginInfo", "check_plugins", "discover", "load_informer", "load_plugins"]

logger = logging.getLogger(__name__)
_repeated = RepeatedLog(logger)

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

Options: TypeAlias = Mapping[str, Any]  # Any: what a plugin's own options are


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that was loaded: its name and its informer.

    Attributes:
        name: what the informer is called, also in a checkpoint unless ``arguments`` have a ``uid``.
        informer: the informer.
        info: what is installed.
        arguments: with which it is registered, beside its name.
        made_of: all that the file says of it; equal for two that are made alike.
        secrets: texts that no message may show.
        again: makes another informer of the same entry; None where there is no entry.
    """

    name: str
    informer: Informer
    info: PluginInfo | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)  # Any: as ``Reactor.register``
    made_of: object = field(default=None, repr=False, compare=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    again: Callable[[], Plugin] | None = field(default=None, repr=False, compare=False)


Enabled: TypeAlias = Mapping[str, Options | None] | Iterable[str | FlameInformer | Plugin]


def load_plugins(
    enabled: Enabled | None = None,
    disabled: Iterable[str] = (),
    strict: bool = False,
    *,
    context: FlameContext | None = None,
) -> list[Plugin]:
    """Import the enabled plugins and make their informers, in the order they are named in.

    A plugin that cannot be used is logged with its distribution and left out.

    Args:
        enabled: None for what the environment or ``flame.yaml`` enables; names, which take their
            options from ``flame.yaml``; or a mapping of names to options. Objects of the kind
            that this function returns are passed through.
        disabled: names to leave out of them.
        strict: raise at the first plugin that cannot be used.
        context: the configuration to look at; ``FlameContext()`` by default.

    Raises:
        PluginError: ``strict``, and a plugin cannot be used.
        ConfigError: the configuration is unusable.
    """
    without = set(disabled)
    context = context or FlameContext()
    wanted = [one for one in _wanted(enabled, context) if one.name not in without]
    installed = discover() if any(isinstance(one, FlameInformer) for one in wanted) else []
    loaded = []
    for one in wanted:
        try:
            loaded.append(one if isinstance(one, Plugin) else _load(one, installed, context))
        except PluginError as error:
            if strict:
                raise
            left_out(error.message, error.__cause__)
    return loaded


def left_out(message: str, error: BaseException | None) -> None:
    """Log that a plugin cannot be used, once a minute at most however often reactors start."""
    _repeated.log(logging.ERROR, message, "%s; it is left out", message, error=error)


def load_informer(value: str, options: Options | None = None) -> Plugin:
    """Import ``module:Class`` and make an informer; an installed plugin is not required.

    Raises:
        PluginError: it cannot be used.
    """
    module, colon, attribute = value.partition(":")
    if not (module and colon and attribute):
        raise PluginError(f"informer {repr_of(value)}: write module:Class")
    try:
        return Plugin(value, _make(_import(PluginInfo(value, value=value)), options or {}))
    except _Broken as broken:
        raise PluginError(f"informer {repr_of(value)}: {text_of(broken)}") from broken.__cause__


def check_plugins(
    enabled: Enabled | None = None,
    *,
    context: FlameContext | None = None,
    checkpoint: bool = False,
) -> list[PluginInfo]:
    """Load every installed plugin, make those that are enabled, and say what is wrong.

    Returns the installed ones and the enabled names that nothing installed has; ``problem`` is
    None where all is well. One that is not enabled is imported, but not made: it may need options.

    Args:
        enabled: as of ``load_plugins``.
        context: the configuration to look at; ``FlameContext()`` by default.
        checkpoint: the reactor has one, even if the configuration names none.
    """
    context = context or FlameContext()
    remembers = checkpoint or bool(context.raw_reactor.get("checkpoint"))
    installed = discover()
    wanted = [one for one in _wanted(enabled, context) if isinstance(one, FlameInformer)]
    used = {one.plugin or one.name for one in wanted}
    checked = [check_informer(one, installed, context, remembers=remembers) for one in wanted]
    rest = [
        replace(info, problem=_import_problem(info)) for info in installed if info.name not in used
    ]
    return sorted([*checked, *rest], key=lambda one: one.name)


def check_informer(
    one: FlameInformer, installed: list[PluginInfo], context: FlameContext, *, remembers: bool
) -> PluginInfo:
    """Make an informer of the configuration, and return which plugin it is of, and what is wrong.

    Args:
        one: the entry.
        installed: what ``discover`` returned.
        context: whose entry it is.
        remembers: whether its reactor has a checkpoint.
    """
    try:
        info = _find(one, installed)
    except _Broken as broken:
        return PluginInfo(one.name, enabled=True, problem=str(broken))
    info = replace(info, name=one.name, enabled=True)
    try:
        _made(one, info, context, remembers=remembers)
    except _Broken as broken:
        return replace(info, problem=str(broken))
    return info


def _import_problem(info: PluginInfo) -> str | None:
    try:
        _import(info)
    except _Broken as broken:
        return str(broken)
    return None


class _Broken(Exception):
    """Why a plugin cannot be used; its cause is what was raised."""


def _wanted(enabled: Enabled | None, context: FlameContext) -> list[FlameInformer | Plugin]:
    if enabled is None:
        return list(context.informers)
    if isinstance(enabled, str):
        raise InvalidArgumentError(
            f"enabled={repr_of(enabled)}: give a list of names, [{repr_of(enabled)}]"
        )
    if isinstance(enabled, Mapping):
        return [FlameInformer(name, dict(options or {})) for name, options in enabled.items()]
    given = list(enabled)
    if not any(isinstance(one, str) for one in given):
        return [one for one in given if not isinstance(one, str)]
    known = {one.name: one for one in context.configured_informers}
    return [
        known.get(one, FlameInformer(one)) if isinstance(one, str) else one
        for one in dict.fromkeys(given)
    ]


def _load(wanted: FlameInformer, installed: list[PluginInfo], context: FlameContext) -> Plugin:
    info = None
    try:
        info = _find(wanted, installed)
        return _made(wanted, info, context)
    except _Broken as broken:
        of = "" if info is None else f" ({info.origin if info.distribution else info.value})"
        raise PluginError(
            f"informer plugin {repr_of(wanted.name)}{of}: {text_of(broken)}"
        ) from broken.__cause__


def _find(wanted: FlameInformer, installed: list[PluginInfo]) -> PluginInfo:
    """Return what is installed for an entry, or what its ``module:Class`` names."""
    plugin = wanted.plugin or wanted.name
    if ":" in plugin:
        return PluginInfo(plugin, value=plugin)
    info = next((one for one in installed if one.name == plugin), None)
    if info is None:
        raise _Broken(_unknown(plugin, installed, named=wanted.plugin is not None))
    return info


def _made(
    wanted: FlameInformer,
    info: PluginInfo,
    context: FlameContext,
    *,
    remembers: bool | None = None,
) -> Plugin:
    """Make and check an informer; no text shows what ``${NAME}`` or ``file:`` put in."""
    where = f"informers[{wanted.name}]"
    try:
        options = context.expand(wanted.options, f"{where}.options")
        settings = context.expand(wanted.settings, where)
    except ConfigError as error:
        raise _Broken(error.message) from error
    try:
        arguments = arguments_of(settings.value)
        chosen = {
            key: one for key, one in arguments.items() if key not in ("application", "session")
        }
        checked = RegisterOptions(**chosen)
        scope_of(arguments.get("application"), arguments.get("session"))
        informer = _make(_import(info), options.value, checked)
        named = replace(checked, uid=arguments.get("uid", wanted.name))
        check_sink(informer, named, remembers=remembers)
    except (_Broken, InvalidArgumentError) as error:
        said = text_of(error) if isinstance(error, _Broken) else error.message
        hidden = settings.hide(options.hide(said))
        if hidden != said or options.secrets:
            raise _Broken(hidden) from None  # a cause would be logged with its text
        raise _Broken(said) from error.__cause__
    made_of = info.value, wanted.name, options.value, settings.value
    secrets = options.secrets | settings.secrets
    again = partial(_load, wanted, [info], context)
    return Plugin(wanted.name, informer, info, arguments, made_of, secrets, again)


def _unknown(name: str, installed: list[PluginInfo], *, named: bool = False) -> str:
    names = sorted({one.name for one in installed})
    near = difflib.get_close_matches(name, names, n=1)
    by_distribution = [one.name for one in installed if one.distribution == name]
    if near or by_distribution:
        return (
            "nothing installed has that name; did you mean "
            f"{repr_of((by_distribution or near)[0])}?"
        )
    there = ", ".join(names) or "none"
    if named:
        return f"no installed plugin is called {repr_of(name)}; there are: {there}"
    return f"nothing installed has that name; installed plugins: {there}"


def _import(info: PluginInfo) -> Callable[..., object]:
    if info.problem is not None:
        raise _Broken(info.problem)
    try:
        found = metadata.EntryPoint(info.name, info.value, GROUP).load()
    except (Exception, SystemExit) as error:
        raise _Broken(f"importing {info.value} raised {_said(error)}") from error
    if inspect.isclass(found) and not issubclass(found, (TaskInformer, SessionInformer)):
        raise _Broken(
            f"{info.value} is a class that subclasses neither flamepy.core.TaskInformer nor "
            "flamepy.informers.SessionInformer"
        )
    if not callable(found):
        raise _Broken(
            f"{info.value} is {repr_of(found)}; it must be an informer class, or a function that "
            "takes the options and returns an informer"
        )
    made: Callable[..., object] = found
    return made


def _make(
    factory: Callable[..., object], options: Options, register: RegisterOptions | None = None
) -> Informer:
    refused = _refused(factory, options)
    if refused is not None:
        raise _Broken(refused)
    try:
        made = factory(**options)
    except (Exception, SystemExit) as error:
        # Values are left out: an option may be a password.
        with_options = f" with the options {', '.join(options)}" if options else ""
        raise _Broken(f"making it{with_options} raised {_said(error)}") from error
    if not isinstance(made, (TaskInformer, SessionInformer)):
        raise _Broken(f"it returned {repr_of(made)}, which is not an informer")
    try:
        checked = register or RegisterOptions()
        callbacks = Callbacks(made, checked.rules, checked.events)
        check_batches(callbacks, checked)
        check_judges(checked.where, tasks=callbacks.wants_tasks, sessions=callbacks.wants_sessions)
    except InvalidArgumentError as error:
        raise _Broken(error.message) from error
    return made


def _refused(factory: Callable[..., object], options: Options) -> str | None:
    """Return what is wrong with the names of the options, None if nothing is."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return None  # something built in; calling it will show
    takes = [one.name for one in parameters if one.kind in _NAMED]
    listed = f"its options: {', '.join(takes) or 'none'}"
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        for name in options:
            if name not in takes:
                near = difflib.get_close_matches(name, takes, n=1)
                hint = f"; did you mean {repr_of(near[0])}?" if near else ""
                return f"it has no option {repr_of(name)}{hint} ({listed})"
    for one in parameters:
        if one.name in takes and one.default is one.empty and one.name not in options:
            return f"the option {repr_of(one.name)} is missing ({listed})"
    return None


def _said(error: BaseException) -> str:
    if isinstance(error, FlameError):
        return f"{type(error).__name__}: {error.message}"  # its code says nothing more
    return described(error)
