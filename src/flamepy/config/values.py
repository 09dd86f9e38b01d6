"""The parts of a configuration: frozen dataclasses without behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flamepy.shared_pickles import shared_class

_TYPES = "flamepy.core.types"  # where the official SDK has them
DEFAULT_EXCLUDES = (".venv", "__pycache__", ".gitignore", "*.pyc")


@shared_class(_TYPES)
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


class FlameKeepalive(NamedTuple):
    """How a silent engine is noticed: a ping after so much silence, so long for its answer.

    Attributes:
        time: seconds without a byte of the engine, while a call waits, after which it is pinged.
        timeout: seconds after which a ping without an answer ends the TCP connection.
    """

    time: float = 60.0
    timeout: float = 20.0


@shared_class(_TYPES)
@dataclass(frozen=True, slots=True)
class FlameClientCache:
    """The object cache: its endpoint, its TLS files, a folder shared with it.

    Attributes:
        allow_pickle: whether objects may be unpickled, which runs code of their writer.
    """

    endpoint: str | None = None
    tls: FlameClientTls | None = None
    storage: str | None = None
    allow_pickle: bool = True


@shared_class(_TYPES)
@dataclass(frozen=True, slots=True)
class FlamePackage:
    """Where packages are stored, and which files stay out of them.

    Attributes:
        storage: a URL; None is the object cache.
        excludes: patterns of file names, as of ``fnmatch``.
    """

    storage: str | None = None
    excludes: Sequence[str] = DEFAULT_EXCLUDES


@shared_class(_TYPES)
@dataclass(frozen=True, slots=True)
class FlameContextRunner:
    """The template application of runners."""

    template: str | None = None


@dataclass(frozen=True, slots=True)
class FlameInformer:
    """An informer that is enabled: which plugin it is of, and how it is made and registered.

    Attributes:
        name: what it is called; several of one plugin have names of their own.
        options: what the plugin is made with, as the file has them: ``${NAME}`` and ``file:PATH``
            are put in when it is made.
        plugin: the installed plugin, or ``module:Class``; None for the one called ``name``.
        settings: arguments of ``Reactor.register`` in the form that the file has.
        where: the place in the file, for messages.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)  # Any: whatever YAML holds
    plugin: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: likewise
    where: str = field(default="", compare=False)
