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
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from flamepy.errors import ConfigError
from flamepy.types import ApplicationAttributes, ApplicationSchema, Shim

_TEXTS = ("image", "description", "command", "working_directory", "url", "installer")
_NUMBERS = ("max_instances", "delay_release")


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
        raise ConfigError(f"{path}: this is not YAML: {error}") from error
    root = _mapping(path, "the file", document)
    name = _mapping(path, "metadata", root.get("metadata")).get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{path}: metadata.name must be the application's name, got {name!r}")
    return name, _attributes(path, _mapping(path, "spec", root.get("spec")))


def _attributes(path: object, spec: Mapping[str, Any]) -> ApplicationAttributes:
    known = {field.name for field in fields(ApplicationAttributes)}
    for key in spec:
        if key not in known:
            raise ConfigError(f"{path}: spec.{key} is not known; known: {', '.join(sorted(known))}")
    values: dict[str, Any] = {key: value for key, value in spec.items() if value is not None}
    for key in _TEXTS:
        if key in values and not isinstance(values[key], str):
            raise ConfigError(f"{path}: spec.{key} must be text, got {values[key]!r}")
    for key in _NUMBERS:
        if key in values and (not isinstance(values[key], int) or values[key] < 0):
            raise ConfigError(f"{path}: spec.{key} must be a whole number, got {values[key]!r}")
    for key in ("labels", "arguments"):
        if key in values and not isinstance(values[key], list):
            raise ConfigError(f"{path}: spec.{key} must be a list, got {values[key]!r}")
        if key in values:
            values[key] = [str(one) for one in values[key]]
    if "environments" in values:
        values["environments"] = _environments(path, values["environments"])
    if "schema" in values:
        values["schema"] = ApplicationSchema(**_mapping(path, "spec.schema", values["schema"]))
    if "shim" in values:
        values["shim"] = _shim(path, values["shim"])
    return ApplicationAttributes(**values)


def _environments(path: object, value: Any) -> dict[str, str]:
    """Take a mapping, or a list of ``{name, value}``, as both are written."""
    if isinstance(value, list):
        pairs = [_mapping(path, "spec.environments: each item", one) for one in value]
        if any(set(one) != {"name", "value"} for one in pairs):
            raise ConfigError(f"{path}: spec.environments: each item must have name and value")
        return {str(one["name"]): str(one["value"]) for one in pairs}
    return {str(k): str(v) for k, v in _mapping(path, "spec.environments", value).items()}


def _shim(path: object, value: Any) -> Shim:
    try:
        return Shim[str(value).upper()]
    except KeyError:
        raise ConfigError(f"{path}: spec.shim must be Host or Wasm, got {value!r}") from None


def _mapping(path: object, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: {key} must be a mapping of keys to values, got {value!r}")
    return value
