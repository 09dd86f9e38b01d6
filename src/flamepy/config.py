"""Where the engine is and how to reach it: ``FlameContext``, and where each value came from.

Precedence, value by value: argument, environment, file, default. The file is the one that is
named (``config_file=``, ``from_file``), else ``FLAME_CONFIG``, else ``~/.flame/flame.yaml`` if it
exists. Reads files and the environment, never the network. ``rpc`` makes channels from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flamepy.errors import ConfigError
from flamepy.types import (
    DEFAULT_FLAME_CACHE_ENDPOINT,
    DEFAULT_FLAME_CONF,
    DEFAULT_FLAME_ENDPOINT,
)

DEFAULT_PORT = 8080
DEFAULT_EXCLUDES = (".venv", "__pycache__", ".gitignore", "*.pyc")
DEFAULT_TEMPLATE = "flmrun"
CACHE_SCHEMES = ("grpc", "grpcs", "grpc+tls", "http", "https")
_EXAMPLE = "http://127.0.0.1:8080"
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+(%[\w.-]+)?")  # a name, an IPv4 or an IPv6 address
_BLANK = re.compile(r"[\s\x00-\x1f]")
_USER = re.compile(r"^([\w+.-]+://)?.*@")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's address, checked."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Parse ``http://host:port``, ``https://host:port``, ``host:port`` or ``host``.

        The scheme defaults to http, the port to 8080.

        Raises:
            ConfigError: names the text and the rule that it breaks.
        """
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"endpoint {text!r} is empty; write it like {_EXAMPLE!r}")
        text = text.strip()
        if "@" in text:
            raise ConfigError(
                f"endpoint {without_password(text)!r} has a user or password, which an engine "
                f"does not take; write it like {_EXAMPLE!r}"
            )
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(
                f"endpoint {text!r} is not a URL: {error}; write it like {_EXAMPLE!r}"
            ) from error
        if parts.scheme not in ("http", "https"):
            raise ConfigError(
                f"endpoint {text!r}: the scheme must be http or https (with TLS), "
                f"not {parts.scheme!r}; write it like {_EXAMPLE!r}"
            )
        extra = parts.path.strip("/") or parts.query or parts.fragment
        if not host or extra or not _HOST.fullmatch(host) or _BLANK.search(text):
            raise ConfigError(
                f"endpoint {text!r} must be scheme, host and port only; write it like {_EXAMPLE!r}"
            )
        if port == 0:
            raise ConfigError(f"endpoint {text!r}: the port must be 1 to 65535")
        return cls(parts.scheme, host, port or DEFAULT_PORT)

    @property
    def tls(self) -> bool:
        """True for https."""
        return self.scheme == "https"

    @property
    def target(self) -> str:
        """The form that gRPC takes: ``host:port``, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The form that people read: ``http://host:port``."""
        return f"{self.scheme}://{self.target}"


def without_password(url: str) -> str:
    """Return a URL with its user and password, if it has any, as ``***``."""
    return _USER.sub(r"\1***@", url)


@dataclass(frozen=True, slots=True)
class FlameClientTls:
    """Files for TLS: the authority to trust, and a client certificate with its key.

    Attributes:
        ca_file: None means the system's authorities.
        cert_file, key_file: for proxies that ask for a client certificate; both or none.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class FlameClientCache:
    """The object cache: its endpoint, its TLS files, a folder shared with it."""

    endpoint: str | None = None
    tls: FlameClientTls | None = None
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class FlamePackage:
    """Where packages are stored, and which files stay out of them."""

    storage: str
    excludes: Sequence[str] = DEFAULT_EXCLUDES


@dataclass(frozen=True, slots=True)
class FlameContextRunner:
    """The template application of runners."""

    template: str | None = None


class FlameContext:
    """The configuration of a connection; read once, at construction.

    Args:
        endpoint: the engine, ``http://host:port``; https uses TLS.
        cache_endpoint: the object cache, ``grpc://host:port``.
        tls: files for TLS to the engine.
        cache_tls: files for TLS to the object cache.
        package: where packages are stored.
        runner: the template application of runners.
        config_file: read this file instead of ``FLAME_CONFIG`` or ``~/.flame/flame.yaml``.
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
        config_file: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._sources: dict[str, str] = {}
        file = _File.load(config_file, environ)
        self._endpoint = self._choose(
            "endpoint",
            ("argument", endpoint),
            ("FLAME_ENDPOINT", environ.get("FLAME_ENDPOINT") or None),
            file.text("cluster", "endpoint"),
            ("default", DEFAULT_FLAME_ENDPOINT),
        )
        self._parsed = self._checked(self._endpoint)
        self._tls = self._tls_of(tls, file, environ, "cluster")
        self._cache = self._cache_of(cache_endpoint, cache_tls, file, environ)
        self._package = self._package_of(package, file)
        self._runner = self._runner_of(runner, file)

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
        """Where packages go, or None when no storage is named."""
        return self._package

    @property
    def runner(self) -> FlameContextRunner:
        """The template application of runners."""
        return self._runner

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from: ``{"endpoint": "FLAME_ENDPOINT", ...}``."""
        return dict(self._sources)

    def __repr__(self) -> str:
        sources = ", ".join(f"{name}: {source}" for name, source in self._sources.items())
        return f"<FlameContext {self._endpoint} ({sources})>"

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
        file: _File,
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

    def _cache_of(
        self,
        endpoint: str | None,
        tls: FlameClientTls | None,
        file: _File,
        environ: Mapping[str, str],
    ) -> FlameClientCache:
        url = self._choose(
            "cache_endpoint",
            ("argument", endpoint),
            ("FLAME_CACHE_ENDPOINT", environ.get("FLAME_CACHE_ENDPOINT") or None),
            file.text("cache", "endpoint"),
            ("default", DEFAULT_FLAME_CACHE_ENDPOINT),
        )
        if not isinstance(url, str) or urlsplit(url).scheme not in CACHE_SCHEMES:
            shown = repr(without_password(url)) if isinstance(url, str) else repr(url)
            raise ConfigError(
                f"{self._sources['cache_endpoint']}: cache endpoint {shown}: write it like "
                f"{DEFAULT_FLAME_CACHE_ENDPOINT!r}; the scheme is one of "
                f"{', '.join(CACHE_SCHEMES)}"
            )
        storage = self._pick(
            "cache_storage",
            ("FLAME_CACHE_STORAGE", environ.get("FLAME_CACHE_STORAGE") or None),
            file.text("cache", "storage"),
        )
        return FlameClientCache(url, self._tls_of(tls, file, environ, "cache"), storage)

    def _package_of(self, given: FlamePackage | None, file: _File) -> FlamePackage | None:
        if given is not None:
            self._sources["package"] = "argument"
            return given
        where, found = file.package()
        if found is not None:
            self._sources["package"] = where
        return found

    def _runner_of(self, given: FlameContextRunner | None, file: _File) -> FlameContextRunner:
        template = self._choose(
            "runner",
            ("argument", given.template if given is not None else None),
            file.text("runner", "template"),
            ("default", DEFAULT_TEMPLATE),
        )
        return FlameContextRunner(template)


def _complete(tls: FlameClientTls, where: str) -> FlameClientTls:
    if bool(tls.cert_file) != bool(tls.key_file):
        given, missing = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        raise ConfigError(f"{where}: {given} is set without {missing}; give both or none")
    return tls


class _File:
    """The chosen context of one configuration file; of none, when there is no file."""

    def __init__(self, name: str, context: Mapping[str, Any], label: str) -> None:
        self.name = name
        self._context = context
        self._label = label

    @classmethod
    def load(cls, named: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> _File:
        variable = environ.get("FLAME_CONFIG")
        if named is not None:
            path, must = Path(named), True
        elif variable:
            path, must = Path(variable), True
        else:
            home = environ.get("HOME")
            folder = Path(home) if home else Path.home()
            path, must = folder / ".flame" / DEFAULT_FLAME_CONF, False
        try:
            text = path.expanduser().read_text(encoding="utf-8")
        except FileNotFoundError as error:
            if not must:
                return cls("no file", {}, "")
            origin = "" if named is not None else " (named by FLAME_CONFIG)"
            raise ConfigError(f"{path}{origin}: there is no such file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        return cls._parse(str(path), text)

    @classmethod
    def _parse(cls, name: str, text: str) -> _File:
        import yaml  # costs 10 ms, and most processes have no file

        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{name}: this is not YAML: {error}") from error
        root = _mapping(name, "the file", document)
        current = root.get("current-context")
        if not isinstance(current, str):
            raise ConfigError(
                f"{name}: current-context is not set: it must name one of the contexts"
            )
        contexts = root.get("contexts")
        if not isinstance(contexts, list):
            raise ConfigError(f"{name}: contexts must be a list of contexts, got {contexts!r}")
        found = [_mapping(name, "contexts: each item", one) for one in contexts]
        for one in found:
            if one.get("name") == current:
                return cls(name, one, f"{name}: contexts[{current}]")
        names = ", ".join(repr(one.get("name")) for one in found) or "none"
        raise ConfigError(
            f"{name}: context <{current}> not found: current-context must be one of: {names}"
        )

    def text(self, *path: str) -> tuple[str, str | None]:
        """Return where a text value is, and the value; None when it is not there."""
        value: Any = self._context
        where = self._label
        for key in path:
            value = _mapping("", where, value).get(key)
            where = f"{where}.{key}"
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{where} must be text, got {value!r}")
        return where, value

    def package(self) -> tuple[str, FlamePackage | None]:
        """Return where the package section is, and what it says; None without a storage."""
        where, storage = self.text("package", "storage")
        if storage is None:
            return where, None
        section = _mapping(self.name, f"{self._label}.package", self._context.get("package"))
        more = section.get("excludes") or []
        if not isinstance(more, list) or not all(isinstance(one, str) for one in more):
            raise ConfigError(
                f"{self._label}.package.excludes must be a list of texts, got {more!r}"
            )
        return where, FlamePackage(storage, tuple(dict.fromkeys([*DEFAULT_EXCLUDES, *more])))


def _mapping(name: str, key: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        place = f"{name}: {key}" if name else key
        raise ConfigError(f"{place} must be a mapping of keys to values, got {value!r}")
    return value
