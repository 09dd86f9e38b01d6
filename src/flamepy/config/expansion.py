"""Values that a file names instead of holding: ``${NAME}`` of the environment, ``file:PATH``.

A text may have any number of ``${NAME}``; ``$${NAME}`` stands for the characters ``${NAME}``. A
text that begins with ``file:`` is the content of that file, without line ends at its end, unless
``//`` follows, as in a URL; ``${NAME}`` in the path comes first. What was put in is never shown:
``Expanded`` knows it, and ``hide`` takes it out of a message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from flamepy.errors import ConfigError
from flamepy.host.paths import expanded as path_of
from flamepy.secret import HIDDEN
from flamepy.texts import repr_of, text_of

_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILE = "file:"
_SHORTEST = 4  # characters: a message without every "1" would say nothing
LARGEST = 1024 * 1024  # bytes of a file


@dataclass(frozen=True, slots=True)
class Expanded:
    """A value with all that it names put in.

    Attributes:
        value: the value. Any: what YAML holds.
        secrets: the texts that were put in.
    """

    value: Any = field(repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def hide(self, text: str) -> str:
        """Return a text in which what was put in is ``***``, also where it is quoted."""
        forms = set()
        for secret in self.secrets:
            if len(secret) >= _SHORTEST:
                forms |= {secret, repr_of(secret)[1:-1], quote(secret), quote(secret, safe="")}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, HIDDEN)
        return text


def expand(value: object, where: str, environ: Mapping[str, str]) -> Expanded:
    """Return a value of a file, lists and mappings included, with what it names put in.

    Args:
        value: what YAML holds.
        where: the keys to it, for messages.
        environ: the environment.

    Raises:
        ConfigError: a variable is not set, or a file cannot be read; no content is shown.
    """
    secrets: set[str] = set()
    return Expanded(_expanded(value, where, environ, secrets), frozenset(secrets))


def _expanded(value: object, where: str, environ: Mapping[str, str], secrets: set[str]) -> object:
    if isinstance(value, str):
        return _text(value, where, environ, secrets)
    if isinstance(value, Mapping):
        return {
            key: _expanded(one, f"{where}.{text_of(key)}", environ, secrets)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [
            _expanded(one, f"{where}[{place}]", environ, secrets) for place, one in enumerate(value)
        ]
    return value


def _text(value: str, where: str, environ: Mapping[str, str], secrets: set[str]) -> str:
    of_file = value.startswith(_FILE) and not value.startswith(f"{_FILE}//")
    found: set[str] = set()
    text = from_environ(value, where, environ, found)
    if of_file:
        text = _content(text.removeprefix(_FILE), where)
        found = {text, *text.splitlines()}
    secrets |= found
    return text


def from_environ(
    value: str, where: str, environ: Mapping[str, str], found: set[str] | None = None
) -> str:
    """Return a text with each ``${NAME}`` replaced by that environment variable.

    Args:
        value: the text.
        where: the keys to it, for messages.
        environ: the environment.
        found: what was put in is added to it.

    Raises:
        ConfigError: a variable is not set.
    """

    def variable(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        content = environ.get(match[1])
        if not content:
            raise ConfigError(
                f"{where} names the environment variable {match[1]}, which is not set: set it, or "
                f"leave the key out; the characters themselves are written $${{{match[1]}}}"
            )
        if found is not None:
            found.add(content)
        return content

    return _VARIABLE.sub(variable, value)


def _content(path: str, where: str) -> str:
    try:
        with path_of(path.strip()).open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError(f"{where} names the file {repr_of(path)}, which has more than 1 MiB")
        text = content.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        why = error.strerror or os.strerror(error.errno or 0)
        raise ConfigError(f"{where} names the file {repr_of(path)}: {why}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where} names the file {repr_of(path)}, which is not UTF-8") from None
    if not text:
        raise ConfigError(f"{where} names the file {repr_of(path)}, which is empty")
    return text
