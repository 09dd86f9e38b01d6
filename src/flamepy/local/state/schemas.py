"""The check of an application's JSON Schemas at registration, with the engine's texts. Pure.

That a text is JSON is checked by ``json_check``; that it is a schema needs the package
``jsonschema`` of the extra ``local``, loaded at the first schema.
"""

from __future__ import annotations

import contextlib
import json
import sys
from importlib import import_module

from flamepy.local.state.json_check import json_problem
from flamepy.local.state.refusal import Refusal
from flamepy.types import ApplicationSchema

_NAMES = (("input", "input"), ("output", "output"), ("common_data", "common data"))


def is_loaded() -> bool:
    """True if a check loads nothing more, or has nothing to load."""
    return "jsonschema.validators" in sys.modules


def load() -> None:
    """Load ``jsonschema``, if it is installed; for a thread that may wait for the disk."""
    with contextlib.suppress(ImportError):
        import_module("jsonschema.validators")


def check_schema(schema: ApplicationSchema | None) -> None:
    """Check the members that are present, in the engine's order.

    Raises:
        Refusal: INVALID_ARGUMENT ``invalid input schema: ...``; INTERNAL if ``jsonschema`` is
            not installed.
    """
    if schema is None:
        return
    for field, label in _NAMES:
        text = getattr(schema, field)
        if text is not None:
            try:
                problem = _problem(text)
            except RecursionError:
                problem = "recursion limit exceeded"
            if problem is not None:
                raise Refusal("INVALID_ARGUMENT", f"invalid {label} schema: {problem}")


def _problem(text: str) -> str | None:
    broken = json_problem(text)
    if broken is not None:
        return broken
    document = json.loads(text)
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import validator_for
    except ImportError as error:
        raise Refusal(
            "INTERNAL",
            "checking a schema needs the package jsonschema: run "
            'pip install "flamepy-informers[local]" where the cluster runs',
        ) from error
    if not isinstance(document, (dict, bool)):
        return f'{json.dumps(document)} is not of types "boolean", "object"'
    chosen = validator_for(document, default=Draft202012Validator)
    meta = chosen(chosen.META_SCHEMA)
    for found in meta.iter_errors(document):
        if found.validator == "anyOf":
            shown = json.dumps(found.instance)
            return f"{shown} is not valid under any of the schemas listed in the 'anyOf' keyword"
        return str(found.message)
    return None
