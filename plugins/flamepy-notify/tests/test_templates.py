"""Templates: fields in braces, nothing that runs, and values that are never read again."""

from __future__ import annotations

import pytest
from flamepy_notify.templates import Template

from flamepy.errors import InvalidArgumentError


def template(text: str) -> Template:
    return Template(text, name="failed", fields=["count", "summary"])


def test_fields_are_replaced_and_braces_are_doubled() -> None:
    values = {"count": "2", "summary": "a"}
    assert template("{count} {{x}}: {summary}{summary}").render(values) == "2 {x}: aa"
    assert template("").render(values) == ""


def test_a_value_is_not_read_as_a_template() -> None:
    values = {"count": "{summary}", "summary": "{count!r} %s ${HOME} {{7*7}} {% x %}"}
    assert template("{count}|{summary}").render(values) == (
        "{summary}|{count!r} %s ${HOME} {{7*7}} {% x %}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{other}",
        "{}",
        "{0}",
        "{count.__class__}",
        "{count.__class__.__mro__[1].__subclasses__}",
        "{count[0]}",
        "{count!r}",
        "{count:>1000000000}",
        "{count:{summary}}",
        "{count",
        "count}",
        "{ count }",
    ],
)
def test_a_field_is_a_name_and_nothing_else(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"the template failed.*\{count\}, \{summary\}"):
        template(text)
