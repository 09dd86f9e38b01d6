"""A template replaces names, escapes values, and runs nothing."""

from __future__ import annotations

import json
import string
import urllib.parse

import pytest
from flamepy_webhook.cloud_events import NAMES
from flamepy_webhook.templates import BodyTemplate

from flamepy.errors import InvalidArgumentError

NASTY = "a\"b\\c\nd</script>&\u2028${task}$task{{7*7}}%s\x00é😀'; rm -rf /"
VALUES = {**NAMES, "error": NASTY, "failed": 3, "final_state_known": True}


def made(template: object, content_type: str | None = None) -> BodyTemplate:
    return BodyTemplate(template, names=NAMES, content_type=content_type)


def test_a_value_cannot_leave_its_place_in_a_mapping() -> None:
    template = made({"text": "It says: $error", "list": [{"n": "$failed of $session"}, 1, None]})
    body = json.loads(template.fill(VALUES))
    assert body == {"text": f"It says: {NASTY}", "list": [{"n": "3 of a text"}, 1, None]}


def test_a_value_cannot_leave_its_place_in_a_json_text() -> None:
    template = made('{"text": "It says: ${error}", "failed": $failed, "known": $final_state_known}')
    body = json.loads(template.fill(VALUES))
    assert body == {"text": f"It says: {NASTY}", "failed": 3, "known": True}


def test_a_form_is_quoted_and_markup_is_escaped() -> None:
    form = made("text=$error&n=$failed", "application/x-www-form-urlencoded")
    assert urllib.parse.parse_qs(form.fill(VALUES).decode()) == {"text": [NASTY], "n": ["3"]}
    assert b"<" not in made("$error", "text/html; charset=utf-8").fill(VALUES)
    assert made("$error", "text/plain").fill(VALUES).decode() == NASTY


@pytest.mark.parametrize(
    "template",
    [
        "$error[0] $error.__class__ $error()",
        "{{ 7*7 }} {% for x in y %} <%= 1 %> {error.__class__} %(error)s",
    ],
)
def test_nothing_that_looks_like_code_is_run(template: str) -> None:
    """It is text, or refused: see below."""
    body = made(template, "text/plain").fill({**VALUES, "error": "E"}).decode()
    assert body == template.replace("$error", "E")


@pytest.mark.parametrize(
    "template", ["${error.__class__}", "${error!r}", "${__import__('os').system('true')}"]
)
def test_an_expression_in_a_placeholder_is_refused(template: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"\$ without a name"):
        made(template, "text/plain")


def test_a_dollar_sign_is_written_twice() -> None:
    assert made("$$5 $$error", "text/plain").fill(VALUES) == b"$5 $error"


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidArgumentError, match=r"\$eror, which is no name: .*\$error"):
        made({"deep": [{"text": "$eror"}]})


def test_the_names_of_templates_are_plain() -> None:
    assert all(set(name) <= {*string.ascii_lowercase, "_"} for name in NAMES)


@pytest.mark.parametrize(
    ("template", "content_type", "problem"),
    [
        ('{"text": $error}', None, "must be JSON"),
        ("Hello $error", None, "must be JSON"),
        ("$error", "image/png", "content_type"),
        ({"a": "$error"}, "text/plain", "leave content_type out"),
        (7, None, "a text, a mapping or a list"),
        ({"a": object()}, None, "got object"),
        ("costs 5$", "text/plain", r"\$\$"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    template: object, content_type: str | None, problem: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        made(template, content_type)
