"""``FlameContext``: every value of a configuration, and where it came from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from flamepy.call_options import (
    CallOptions,
    Interceptor,
    Metadata,
    MetadataSource,
    TokenSource,
    check_token,
)
from flamepy.config.endpoint import Endpoint, without_password
from flamepy.config.expansion import Expanded, expand
from flamepy.config.file import ConfigFile
from flamepy.config.pickles import context_state, restore_context
from flamepy.config.values import (
    FlameClientCache,
    FlameClientTls,
    FlameContextRunner,
    FlameInformer,
    FlameKeepalive,
    FlamePackage,
)
from flamepy.errors import ConfigError, InvalidArgumentError
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of
from flamepy.types import (
    DEFAULT_FLAME_CACHE_ENDPOINT,
    DEFAULT_FLAME_ENDPOINT,
    RetryPolicy,
)
from flamepy.workspaces import DEFAULT_WORKSPACE, check_workspace

DEFAULT_TEMPLATE = "flmrun"
LEAST_KEEPALIVE, MOST_KEEPALIVE = 0.1, 86_400.0
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
CACHE_SCHEMES = ("grpc", "grpcs", "grpc+tls", "http", "https")


class FlameContext:
    """The configuration of a connection; read once, at construction.

    Args:
        endpoint: the engine, ``http://host:port``; https uses TLS.
        cache_endpoint: the object cache, ``grpc://host:port``.
        tls: files for TLS to the engine.
        cache_tls: files for TLS to the object cache.
        package: where packages are stored.
        runner: the template application of runners.
        keepalive: seconds of silence before a ping, and for its answer: ``FlameKeepalive``.
        workspace: in which sessions and applications are, at engines that have workspaces.
        metadata, token, interceptors: what every call to the engine carries; see ``connect``. They
            are never shown, and stay out of pickles.
        config_file: read this file instead of ``FLAME_CONFIG`` or ``~/.flame/flame.yaml``.
        context: the context of that file to use, instead of its ``current-context``.
        environ: the environment; ``os.environ`` by default.

    Raises:
        ConfigError: names file or variable, key, value and what was expected.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        cache_endpoint: str | None = None,
        tls: FlameClientTls | None = None,
        cache_tls: FlameClientTls | None = None,
        package: FlamePackage | None = None,
        runner: FlameContextRunner | None = None,
        keepalive: tuple[float, float] | None = None,
        workspace: str | None = None,
        metadata: Metadata | MetadataSource | None = None,
        token: str | TokenSource | None = None,
        interceptors: Sequence[Interceptor] | None = None,
        config_file: str | os.PathLike[str] | None = None,
        context: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._sources: dict[str, str] = {}
        file = ConfigFile.load(config_file, environ, context)
        self._endpoint = self._choose(
            "endpoint",
            ("argument", endpoint),
            ("FLAME_ENDPOINT", environ.get("FLAME_ENDPOINT") or None),
            file.text("cluster", "endpoint"),
            ("default", DEFAULT_FLAME_ENDPOINT),
        )
        self._parsed = self._checked(self._endpoint)
        self._tls = self._tls_of(tls, file, environ, "cluster")
        self._keepalive = self._keepalive_of(keepalive, file)
        self._workspace = self._workspace_of(workspace, file, environ)
        given = CallOptions.checked(metadata, token, interceptors)
        self._call_options = self._call_options_of(given, file, environ)
        self._cache = self._cache_of(cache_endpoint, cache_tls, file, environ)
        self._package = self._package_of(package, file)
        self._runner = self._runner_of(runner, file)
        self._informers = self._informers_of(file, environ)
        self._reactor, self._environ = file.reactor(), environ
        where, self._retry = file.retry()
        if self._retry is not None:
            self._sources["retry"] = where
        file.check_keys()

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> FlameContext:
        """Read this file; the environment still wins over it."""
        return cls(config_file=path)

    @property
    def endpoint(self) -> str:
        """The engine's URL as it was written."""
        return self._endpoint

    @property
    def address(self) -> Endpoint:
        """The engine's URL in parts."""
        return self._parsed

    @property
    def tls(self) -> FlameClientTls | None:
        """Files for TLS to the engine, or None when none are named."""
        return self._tls

    @property
    def keepalive(self) -> FlameKeepalive:
        """How a silent engine is noticed."""
        return self._keepalive

    @property
    def workspace(self) -> str:
        """In which workspace everything is; an engine without workspaces does not look at it."""
        return self._workspace

    @property
    def call_options(self) -> CallOptions:
        """Metadata, token and interceptors of every call to the engine."""
        return self._call_options

    @property
    def cache(self) -> FlameClientCache:
        """The object cache."""
        return self._cache

    @property
    def cache_endpoint(self) -> str | None:
        """The object cache's URL."""
        return self._cache.endpoint

    @property
    def cache_tls(self) -> FlameClientTls | None:
        """Files for TLS to the object cache."""
        return self._cache.tls

    @property
    def package(self) -> FlamePackage | None:
        """Where packages go and what stays out, or None when the file does not say."""
        return self._package

    @property
    def runner(self) -> FlameContextRunner:
        """The template application of runners."""
        return self._runner

    @property
    def retry(self) -> RetryPolicy | None:
        """How calls are repeated, or None when the file does not say."""
        return self._retry

    @property
    def informers(self) -> tuple[FlameInformer, ...]:
        """The informer plugins that are enabled, with their options."""
        return self._informers

    @property
    def configured_informers(self) -> tuple[FlameInformer, ...]:
        """Those that the file names, also when ``FLAME_INFORMERS`` enables others."""
        return self._configured_informers

    @property
    def raw_reactor(self) -> Mapping[str, Any]:
        """The settings of ``flamepy run``'s reactor, as the file has them."""
        return dict(self._reactor)

    def reactor(self) -> dict[str, Any]:
        """Return the file's settings of the reactor, as arguments of ``Reactor``.

        ``flamepy run`` uses them; a program that wants them as well writes
        ``Reactor(context=context, **context.reactor())``. ``${NAME}`` and ``file:PATH`` are put in.

        Raises:
            ConfigError: a variable is not set, or a file cannot be read.
        """
        found = self.expand(self._reactor, "reactor").value
        if isinstance(found.get("poll_interval"), list):
            found["poll_interval"] = tuple(found["poll_interval"])
        return {**found}

    def expand(self, value: object, where: str) -> Expanded:
        """Return a value of the file with ``${NAME}`` and ``file:PATH`` put in.

        Raises:
            ConfigError: a variable is not set, or a file cannot be read.
        """
        return expand(value, where, self._environ)

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from: ``{"endpoint": "FLAME_ENDPOINT", ...}``."""
        return dict(self._sources)

    def __repr__(self) -> str:
        sources = ", ".join(f"{name}: {source}" for name, source in self._sources.items())
        return f"<FlameContext {self._endpoint} ({sources})>"

    def __getstate__(self) -> dict[str, object]:
        return context_state(self)

    def __setstate__(self, state: Mapping[str, object]) -> None:
        restore_context(self, state)

    def _choose(self, name: str, *candidates: tuple[str, str | None]) -> str:
        value = self._pick(name, *candidates)
        assert value is not None  # the last candidate is the default
        return value

    def _pick(self, name: str, *candidates: tuple[str, str | None]) -> str | None:
        for source, value in candidates:
            if value is not None:
                self._sources[name] = source
                return value
        return None

    def _checked(self, text: str) -> Endpoint:
        try:
            return Endpoint.parse(text)
        except ConfigError as error:
            raise ConfigError(f"{self._sources['endpoint']}: {error.message}") from error

    def _tls_of(
        self,
        given: FlameClientTls | None,
        file: ConfigFile,
        environ: Mapping[str, str],
        section: str,
    ) -> FlameClientTls | None:
        name = "tls" if section == "cluster" else "cache_tls"
        if given is not None:
            self._sources[name] = "argument"
            return _complete(given, f"argument {name}")
        # As in the official SDK the environment only fills what the file leaves open.
        values: dict[str, str | None] = {}
        for key in ("ca_file", "cert_file", "key_file"):
            variable = f"FLAME_{key.upper()}"
            from_environ = (variable, environ.get(variable) or None)
            values[key] = self._pick(f"{name}.{key}", file.text(section, "tls", key), from_environ)
        if not any(values.values()):
            return None
        places = (self._sources.get(f"{name}.{key}") for key in ("cert_file", "key_file"))
        where = next((place for place in places if place is not None), name)
        return _complete(FlameClientTls(**values), where)

    def _keepalive_of(self, given: tuple[float, float] | None, file: ConfigFile) -> FlameKeepalive:
        if given is not None:
            self._sources["keepalive"] = "argument"
            return _checked_keepalive("argument keepalive", given)
        values = []
        for key, default in FlameKeepalive()._asdict().items():
            where, value = file.number("cluster", "keepalive", key)
            if value is not None:
                self._sources[f"keepalive.{key}"] = where
            values.append(default if value is None else value)
        return _checked_keepalive(f"{file.name}: cluster.keepalive", values)

    def _workspace_of(self, given: str | None, file: ConfigFile, environ: Mapping[str, str]) -> str:
        chosen = self._choose(
            "workspace",
            ("argument", given),
            ("FLAME_WORKSPACE", environ.get("FLAME_WORKSPACE") or None),
            file.text("cluster", "workspace"),
            ("default", DEFAULT_WORKSPACE),
        )
        try:
            return check_workspace(chosen)
        except InvalidArgumentError as error:
            raise ConfigError(f"{self._sources['workspace']}: {error.message}") from None

    def _call_options_of(
        self, given: CallOptions, file: ConfigFile, environ: Mapping[str, str]
    ) -> CallOptions:
        where, metadata = file.metadata(environ)
        place, token = file.token(environ)
        if variable := environ.get("FLAME_TOKEN"):
            place, token = "FLAME_TOKEN", variable
        if given.metadata:
            where, metadata = "argument", ()
        if given.token is not None:
            place, token = "argument", None
        for name, source, value in (("metadata", where, metadata), ("token", place, token)):
            if value or source == "argument":
                self._sources[name] = source
        try:
            configured = CallOptions.checked(metadata, token and check_token(token, place))
        except InvalidArgumentError as error:
            raise ConfigError(error.message) from None
        return given.over(configured)

    def _cache_of(
        self,
        endpoint: str | None,
        tls: FlameClientTls | None,
        file: ConfigFile,
        environ: Mapping[str, str],
    ) -> FlameClientCache:
        url = self._choose(
            "cache_endpoint",
            ("argument", endpoint),
            ("FLAME_CACHE_ENDPOINT", environ.get("FLAME_CACHE_ENDPOINT") or None),
            file.text("cache", "endpoint"),
            ("default", DEFAULT_FLAME_CACHE_ENDPOINT),
        )
        _check_cache(url, self._sources["cache_endpoint"])
        storage = self._pick(
            "cache_storage",
            ("FLAME_CACHE_STORAGE", environ.get("FLAME_CACHE_STORAGE") or None),
            file.text("cache", "storage"),
        )
        if storage is not None:
            _refuse_user(storage, f"{self._sources['cache_storage']}: cache storage")
        return FlameClientCache(
            url,
            self._tls_of(tls, file, environ, "cache"),
            storage,
            self._allow_pickle(file, environ),
        )

    def _allow_pickle(self, file: ConfigFile, environ: Mapping[str, str]) -> bool:
        where, value = file.flag("cache", "allow_pickle")
        text = environ.get("FLAME_CACHE_ALLOW_PICKLE")
        if text:
            where, value = "FLAME_CACHE_ALLOW_PICKLE", _FLAGS.get(text.lower())
            if value is None:
                raise ConfigError(f"{where} must be true or false, got {repr_of(text)}")
        if value is not None:
            self._sources["cache_allow_pickle"] = where
        return value is not False

    def _package_of(self, given: FlamePackage | None, file: ConfigFile) -> FlamePackage | None:
        where, found = ("argument", given) if given is not None else file.package()
        if found is not None:
            self._sources["package"] = where
            if found.storage is not None:
                _refuse_user(found.storage, f"{where}: package storage")
        return found

    def _runner_of(self, given: FlameContextRunner | None, file: ConfigFile) -> FlameContextRunner:
        template = self._choose(
            "runner",
            ("argument", given.template if given is not None else None),
            file.text("runner", "template"),
            ("default", DEFAULT_TEMPLATE),
        )
        return FlameContextRunner(template)

    def _informers_of(
        self, file: ConfigFile, environ: Mapping[str, str]
    ) -> tuple[FlameInformer, ...]:
        where, configured = file.informers()
        self._configured_informers = tuple(configured or ())
        named = environ.get("FLAME_INFORMERS")  # empty is not unset: it enables none
        if named is None:
            if configured is not None:
                self._sources["informers"] = where
            return self._configured_informers
        self._sources["informers"] = "FLAME_INFORMERS"
        known = {one.name: one for one in self._configured_informers}
        names = dict.fromkeys(name.strip() for name in named.split(","))
        return tuple(known.get(name, FlameInformer(name)) for name in names if name)


FlameContext.__module__ = "flamepy.core.types"  # where the official SDK has it: pickles name it


def _complete(tls: FlameClientTls, where: str) -> FlameClientTls:
    if bool(tls.cert_file) != bool(tls.key_file):
        given, missing = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        raise ConfigError(f"{where}: {given} is set without {missing}; give both or none")
    return tls


def _checked_keepalive(where: str, given: Sequence[float]) -> FlameKeepalive:
    try:
        time, timeout = (min(seconds(where, one), MOST_KEEPALIVE) for one in given)
        found = FlameKeepalive(time, timeout)
        fits = all(one >= LEAST_KEEPALIVE for one in found)
    except (TypeError, ValueError):  # InvalidArgumentError is one
        fits = False
    if not fits:
        raise ConfigError(
            f"{where}: {repr_of(given)} must be two numbers of seconds, {LEAST_KEEPALIVE:g} or "
            "more: of silence before a ping, and for its answer"
        )
    return found


def _check_cache(url: object, source: str) -> None:
    if not isinstance(url, str) or urlsplit(url).scheme not in CACHE_SCHEMES:
        shown = repr_of(without_password(url) if isinstance(url, str) else url)
        raise ConfigError(
            f"{source}: cache endpoint {shown}: write it like {DEFAULT_FLAME_CACHE_ENDPOINT!r}; "
            f"the scheme is one of {', '.join(CACHE_SCHEMES)}"
        )
    _refuse_user(url, f"{source}: cache endpoint")


def _refuse_user(url: str, what: str) -> None:
    """Refuse a URL with a password: values of a configuration are shown, and nothing takes it."""
    scheme, found, rest = url.partition("://")
    if found and "@" in rest and scheme != "file":  # a path may have one
        raise ConfigError(
            f"{what} {repr_of(without_password(url))} has a user or password, which it does not "
            "take: "
            "leave it out"
        )
