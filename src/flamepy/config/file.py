"""The configuration file: finding it, reading its chosen context, and the errors of a bad one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from flamepy.call_options import Pairs, check_metadata
from flamepy.config.endpoint import without_passwords
from flamepy.config.expansion import from_environ
from flamepy.config.schema.keys import CONTEXT, INFORMER, REACTOR
from flamepy.config.schema.kinds import Kind, shown
from flamepy.config.values import DEFAULT_EXCLUDES, FlameInformer, FlamePackage
from flamepy.errors import ConfigError, InvalidArgumentError
from flamepy.host.paths import expanded
from flamepy.texts import repr_of, text_of
from flamepy.types import DEFAULT_FLAME_CONF, RetryPolicy

_NO_FILE = os.strerror(errno.ENOENT)


class ConfigFile:
    """The chosen context of one configuration file; of none, when there is no file."""

    def __init__(self, name: str, context: Mapping[str, Any], label: str) -> None:
        self.name = name
        self._context = context
        self._label = label
        self._known: dict[tuple[str, ...], set[str]] = {}  # the keys that were asked for, by place

    @classmethod
    def load(
        cls,
        named: str | os.PathLike[str] | None,
        environ: Mapping[str, str],
        context: str | None = None,
    ) -> ConfigFile:
        """Read the named file, else ``FLAME_CONFIG``, else ``~/.flame/flame.yaml`` if it exists.

        Args:
            named: the file; it must exist.
            environ: the environment.
            context: choose this context instead of the file's ``current-context``.
        """
        variable = environ.get("FLAME_CONFIG")
        chosen = named if named is not None else variable or None
        if chosen is not None:
            origin = "" if named is not None else " (named by FLAME_CONFIG)"
            return cls._parse(str(chosen), _read(chosen, origin), context)
        path = _default(environ)
        if path is not None:
            return cls._parse(str(path), _read(path, ""), context)
        if context is not None:
            raise ConfigError(
                f"~/.flame/{DEFAULT_FLAME_CONF}: there is no such file, so no context "
                f"{repr_of(context)} "
                "either; name a file by FLAME_CONFIG"
            )
        return cls("no file", {}, "")

    @classmethod
    def _parse(cls, name: str, text: str, context: str | None) -> ConfigFile:
        import yaml  # costs 10 ms, and most processes have no file

        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            # From None: its text shows lines of the file, in which passwords may be.
            raise ConfigError(f"{name}: this is not YAML: {_without_lines(error)}") from None
        root = _mapping(name, "the file", document)
        contexts = root.get("contexts")
        current = root.get("current-context") if context is None else context
        if not isinstance(current, str):
            raise ConfigError(
                f"{name}: current-context is not set: it must name one of the contexts"
                f"{_example(contexts)}"
            )
        if not isinstance(contexts, list):
            raise ConfigError(f"{name}: contexts must be a list of contexts, got {shown(contexts)}")
        found = [_mapping(name, "contexts: each item", one) for one in contexts]
        for one in found:
            if one.get("name") == current:
                return cls(name, one, f"{name}: contexts[{current}]")
        names = ", ".join(repr(one.get("name")) for one in found) or "none"
        raise ConfigError(
            f"{name}: context <{current}> not found: "
            f"{'current-context must be' if context is None else 'choose'} one of: {names}"
        )

    def text(self, *path: str) -> tuple[str, str | None]:
        """Return where a text value is, and the value; None when it is not there."""
        where, value = self._value(path)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{where} must be text, got {shown(value)}")
        return where, value

    def flag(self, *path: str) -> tuple[str, bool | None]:
        """Return where true or false is, and which; None when it is not there."""
        where, value = self._value(path)
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false, got {shown(value)}")
        return where, value

    def _value(self, path: Sequence[str]) -> tuple[str, Any]:
        value: Any = self._context
        where = self._label
        for place, key in enumerate(path):
            self._known.setdefault(tuple(path[:place]), set()).add(key)
            value = _mapping("", where, value).get(key)
            where = f"{where}.{key}"
        return where, value

    def check_keys(self) -> None:
        """Refuse a key that was never asked for and is all but spelt as one that was.

        Call it when all is read. Other keys are let pass: they may be of other programs.

        Raises:
            ConfigError: names the key and the one that was probably meant.
        """
        self._known.setdefault((), set()).update(CONTEXT.names)
        self._known.setdefault(("package",), set()).add("excludes")
        for path, known in list(self._known.items()):
            section = self._value(path)[1] if path else self._context
            for key in set(section) - known if isinstance(section, Mapping) else ():
                if (meant := _closest(str(key), known)) is not None:
                    place = ".".join((self._label, *path))
                    raise ConfigError(
                        f"{place}: unknown key {repr_of(key)}: {repr_of(meant)} was meant?"
                    )

    def number(self, *path: str) -> tuple[str, float | None]:
        """Return where a number is, and the number; None when it is not there."""
        where, value = self._value(path)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ConfigError(f"{where} must be a number, got {shown(value)}")
        return where, value

    def token(self, environ: Mapping[str, str]) -> tuple[str, str | None]:
        """Return where the token of calls is, and the token; None when it is not there."""
        where, value = self._value(("cluster", "token"))
        if value is not None and not isinstance(value, str):
            raise ConfigError(
                f"{where} must be text, best '${{NAME}}' of an environment variable, got "
                f"{type(value).__name__}"
            )
        return where, None if value is None else from_environ(value, where, environ)

    def metadata(self, environ: Mapping[str, str]) -> tuple[str, Pairs]:
        """Return where the metadata of calls is, and its pairs."""
        where, value = self._value(("cluster", "metadata"))
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(
                f"{where} must be a mapping of keys to texts, got {type(value).__name__}"
            )
        found = {
            key: from_environ(one, f"{where}.{key}", environ) if isinstance(one, str) else one
            for key, one in (value or {}).items()
        }
        try:
            return where, check_metadata(found, where)
        except InvalidArgumentError as error:
            raise ConfigError(error.message) from None

    def package(self) -> tuple[str, FlamePackage | None]:
        """Return where the package section is, and what it says; None without one."""
        where, storage = self.text("package", "storage")
        if self._context.get("package") is None:
            return where, None
        if storage is None:
            where = f"{self._label}.package"
        section = _mapping(self.name, f"{self._label}.package", self._context.get("package"))
        more = section.get("excludes") or []
        if not isinstance(more, list) or not all(isinstance(one, str) for one in more):
            raise ConfigError(
                f"{self._label}.package.excludes must be a list of texts, got {shown(more)}"
            )
        return where, FlamePackage(storage, tuple(dict.fromkeys([*DEFAULT_EXCLUDES, *more])))

    def retry(self) -> tuple[str, RetryPolicy | None]:
        """Return the retry section's place and its policy, None without such a section."""
        where = f"{self._label}.retry"
        if self._context.get("retry") is None:
            return where, None
        section = _mapping("", where, self._context["retry"])
        names = [one.name for one in fields(RetryPolicy)]
        unknown = sorted(str(key) for key in set(section) - set(names))
        if unknown:
            raise ConfigError(
                f"{where}: unknown key {repr_of(unknown[0])}: there are {', '.join(names)}"
            )
        try:
            return where, RetryPolicy(**section)
        except InvalidArgumentError as error:
            raise ConfigError(f"{where}: {error.message.removeprefix('retry: ')}") from error

    def informers(self) -> tuple[str, list[FlameInformer] | None]:
        """Return where the enabled plugins are, and which; None when the file names none."""
        where = f"{self._label}.informers"
        value = self._context.get("informers")
        if value is None:
            return where, None
        if not isinstance(value, list):
            raise ConfigError(
                f"{where} must be a list of names, or of {{name: ..., options: ...}}, "
                f"got {shown(value)}"
            )
        found = [_informer(f"{where}[{place}]", one) for place, one in enumerate(value)]
        names = [one.name for one in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(
                f"{where} names {repr_of(twice)} twice: give each a name of its own, as in "
                f"{{name: ..., plugin: {twice}}}"
            )
        return where, found

    def reactor(self) -> Mapping[str, Any]:
        """Return the settings of the reactor of ``flamepy run``, as the file has them."""
        value = self._context.get("reactor")
        if value is not None:
            _check(REACTOR, value, f"{self._label}.reactor")
        return value or {}


def context_names(named: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> list[str]:
    """Return the names of the contexts of the file that ``ConfigFile.load`` would read.

    Raises:
        ConfigError: the file cannot be read, or is not YAML.
    """
    import yaml

    path = named or environ.get("FLAME_CONFIG") or _default(environ)
    if path is None:
        return []
    try:
        document = yaml.safe_load(_read(path, ""))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: this is not YAML: {_without_lines(error)}") from None
    contexts = _mapping(str(path), "the file", document).get("contexts")
    if not isinstance(contexts, list):
        return []
    return [str(one["name"]) for one in contexts if isinstance(one, dict) and "name" in one]


def _example(contexts: object) -> str:
    """Return the line that is missing, for the first context; nothing if none has a name."""
    for one in contexts if isinstance(contexts, list) else ():
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            return f", such as `current-context: {one['name']}`"
    return ""


def _read(path: str | os.PathLike[str], origin: str) -> str:
    try:
        return expanded(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        why = "there is no such file" if error.strerror == _NO_FILE else error.strerror
        raise ConfigError(f"{os.fspath(path)}{origin}: {why}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{os.fspath(path)}{origin}: cannot be read: {text_of(error)}") from error


def _default(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the user's own file; None without a readable home or such a file.

    Containers run with no HOME, with one that is no folder, or with one that this user id may not
    enter. A file that exists and cannot be read is an error instead: it was meant to be used.
    """
    home = environ.get("HOME")
    try:
        path = (Path(home) if home else Path.home()) / ".flame" / DEFAULT_FLAME_CONF
        path.stat()
    except (OSError, RuntimeError, KeyError, ValueError):
        return None
    return path


def _closest(key: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # most files have no unknown key

    found = get_close_matches(key, known, n=1, cutoff=0.75)
    return found[0] if found else None


def _informer(where: str, item: Any) -> FlameInformer:
    if isinstance(item, str) and item.strip():
        return FlameInformer(item.strip(), where=where)
    _check(INFORMER, item, where)
    rest = {
        key: one
        for key, one in item.items()
        if key not in ("name", "plugin", "options")
        and (one is not None or INFORMER.get(key).kind.fits(None))
    }
    plugin = item.get("plugin")
    return FlameInformer(
        item["name"].strip(),
        dict(item.get("options") or {}),
        None if plugin is None else plugin.strip(),
        rest,
        where,
    )


def _check(kind: Kind, value: object, where: str) -> None:
    """Raise the first thing that is wrong with a value of the file."""
    for problem in kind.problems(value, ()):
        steps = problem.place[:-1] if problem.of_key else problem.place
        at = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in steps)
        colon = "" if problem.message.startswith("must ") else ":"
        raise ConfigError(f"{where}{at}{colon} {problem.message}")


def _without_lines(error: Exception) -> str:
    """Return what is wrong and where, and none of the file's lines."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be read"
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return f"{without_passwords(problem)}{where}"


def _mapping(name: str, key: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        place = f"{name}: {key}" if name else key
        raise ConfigError(f"{place} must be a mapping of keys to values, got {shown(value)}")
    return value
