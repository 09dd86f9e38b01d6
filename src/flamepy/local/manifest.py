"""Application manifests: the YAML that ``flamepy up --app`` and ``flmctl register`` take.

::

    metadata:
      name: byte-service
    spec:
      command: /usr/bin/python3
      arguments: ["service.py"]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flamepy.errors import ConfigError
from flamepy.texts import repr_of, text_of
from flamepy.types import ApplicationAttributes, ApplicationSchema, Shim


def read_manifest(path: str | os.PathLike[str]) -> tuple[str, ApplicationAttributes]:
    """Return an application's name and attributes.

    Raises:
        ConfigError: names the file, the key and what was expected.
    """
    import yaml

    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is not YAML: {text_of(error)}") from error
    root = _mapping(path, "the file", document)
    name = _mapping(path, "metadata", root.get("metadata")).get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"{path}: metadata.name must be the application's name, got {repr_of(name)}"
        )
    return name, _attributes(path, _mapping(path, "spec", root.get("spec")))


def _mapping(path: object, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{path}: {key} must be a mapping of keys to values, got {repr_of(value)}"
        )
    return value


def _attributes(path: object, spec: Mapping[str, Any]) -> ApplicationAttributes:
    for key in spec:
        if key not in _READERS:
            known = ", ".join(sorted(_READERS))
            raise ConfigError(f"{path}: spec.{key} is not known; known: {known}")
    given = {key: value for key, value in spec.items() if value is not None}
    return ApplicationAttributes(
        **{key: _READERS[key](path, f"spec.{key}", value) for key, value in given.items()}
    )


def _text(path: object, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{path}: {key} must be text, got {repr_of(value)}")
    return value


def _scalar(path: object, key: str, value: Any) -> str:
    """Take what YAML read as text, or as a number that was meant as text."""
    if isinstance(value, (bool, Mapping, list)) or value is None:
        raise ConfigError(f"{path}: {key} must be text (write it in quotes), got {repr_of(value)}")
    return str(value)


def _number(path: object, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{path}: {key} must be a whole number, 0 or more, got {repr_of(value)}")
    return value


def _texts(path: object, key: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ConfigError(f"{path}: {key} must be a list, got {repr_of(value)}")
    return [_scalar(path, f"{key}[{number}]", one) for number, one in enumerate(value)]


def _environments(path: object, key: str, value: Any) -> dict[str, str]:
    """Take a mapping, or a list of ``{name, value}``, as both are written."""
    if isinstance(value, list):
        pairs = [_mapping(path, f"{key}: each item", one) for one in value]
        if any(set(one) != {"name", "value"} for one in pairs):
            raise ConfigError(f"{path}: {key}: each item must have name and value")
        value = {one["name"]: one["value"] for one in pairs}
    variables = _mapping(path, key, value)
    return {str(name): _scalar(path, f"{key}.{name}", text) for name, text in variables.items()}


def _schema(path: object, key: str, value: Any) -> ApplicationSchema:
    members = {field.name for field in fields(ApplicationSchema)}
    schema = _mapping(path, key, value)
    for name in schema:
        if name not in members:
            known = ", ".join(sorted(members))
            raise ConfigError(f"{path}: {key}.{name} is not known; known: {known}")
    return ApplicationSchema(
        **{name: _text(path, f"{key}.{name}", text) for name, text in schema.items() if text}
    )


def _shim(path: object, key: str, value: Any) -> Shim:
    try:
        return Shim[str(value).upper()]
    except KeyError:
        raise ConfigError(f"{path}: {key} must be Host or Wasm, got {repr_of(value)}") from None


_Reader = Callable[[object, str, Any], Any]
_READERS: Mapping[str, _Reader] = {
    **dict.fromkeys(
        ("image", "description", "command", "working_directory", "url", "installer"), _text
    ),
    **dict.fromkeys(("max_instances", "delay_release"), _number),
    **dict.fromkeys(("labels", "arguments"), _texts),
    "environments": _environments,
    "schema": _schema,
    "shim": _shim,
}
