"""``--output FORM``: the form in which a command prints records. Pure but for ``is_terminal``."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from flamepy.texts import repr_of, text_of

F = TypeVar("F", bound=Callable[..., Any])
Record = Mapping[str, object]
PLAIN = ("json", "yaml", "wide", "name", "table")
TEMPLATE = "template="


@dataclass(frozen=True, slots=True)
class Form:
    """How records are printed.

    Attributes:
        kind: one of ``PLAIN``, or ``template``.
        template: of a record, with its keys in braces.
    """

    kind: str
    template: str = ""


class FormType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """The value of ``--output``."""

    name = "form"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Form:
        """Return the form; fails with the rule."""
        if isinstance(value, Form):
            return value
        text = str(value)
        if text in PLAIN:
            return Form(text)
        if text.startswith(TEMPLATE):
            template = text[len(TEMPLATE) :].replace("\\t", "\t").replace("\\n", "\n")
            try:
                list(string.Formatter().parse(template))
            except ValueError as error:
                self.fail(f"{repr_of(template)} is no template: {text_of(error)}", param, ctx)
            return Form("template", template)
        self.fail(
            f"{repr_of(text)} must be one of {', '.join(PLAIN)} and {TEMPLATE}TEXT, with keys of "
            "the JSON in braces: template='{id} {state}'",
            param,
            ctx,
        )

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the names of the forms."""
        names = [*PLAIN, TEMPLATE]
        return [CompletionItem(one) for one in names if one.startswith(incomplete)]


def output_option(short: str | None = "-o") -> Callable[[F], F]:
    """Return what adds ``--output``, ``--json`` and ``--table``, as the parameter ``form``.

    The parameter is None where none was given: then a terminal gets a table, a pipe JSON.
    """
    names = ("--output", "--format") if short is not None else ("--format",)

    def add(command: F) -> F:
        kind = FormType()
        for option in (
            click.option("--table", "form", flag_value="table", type=kind, help="As -o table."),
            click.option("--json", "form", flag_value="json", type=kind, help="As -o json."),
            click.option(
                *((short,) if short is not None else ()),
                *names,
                "form",
                type=kind,
                metavar="FORM",
                help="json, yaml, wide, name, table or template='{id} {state}'; default: a table "
                "in a terminal, JSON in a pipe.",
            ),
        ):
            command = option(command)
        return command

    return add


def plain(value: object) -> object:
    """Return a value as JSON and YAML take it."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def as_text(value: object, form: Form) -> str:
    """Return a record, or several, as JSON or YAML, without a line end."""
    if form.kind == "json":
        return json.dumps(plain(value), indent=2)
    import yaml

    text: str = yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def line(record: Record, form: Form, columns: Sequence[str]) -> str:
    """Return the line of a record: its name, or what the template says.

    Args:
        record: what to print.
        form: of the kind name or template.
        columns: the first one is the name of a record.

    Raises:
        KeyError: the template names a key that the record lacks.
    """
    if form.kind == "name":
        return _text(record[columns[0]])
    return _filled(form.template, record)


def _filled(template: str, record: Record) -> str:
    """Fill a template; a field is a key, with ``.`` before the keys inside. Raises KeyError."""
    parts = []
    for literal, name, spec, _ in string.Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            value: object = record
            for key in name.split("."):
                if not isinstance(value, Mapping) or key not in value:
                    raise KeyError(name)
                value = value[key]
            parts.append(format(_text(value), spec or ""))
    return "".join(parts)


def _text(value: object) -> str:
    """Return a value of a record as one text, nothing in it a line end."""
    given = plain(value)
    text = given if isinstance(given, str) else "" if given is None else json.dumps(given)
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
