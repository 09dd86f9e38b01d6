"""Errors about JSON are those of an engine's parser, to the letter, line and column."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.local.state.json_check import json_problem

PROBLEMS = {
    "": "EOF while parsing a value at line 1 column 0",
    "  \n": "EOF while parsing a value at line 2 column 0",
    "nonsense": "expected ident at line 1 column 2",
    "n": "EOF while parsing a value at line 1 column 1",
    "nul": "EOF while parsing a value at line 1 column 3",
    "nulla": "trailing characters at line 1 column 5",
    "truth": "expected ident at line 1 column 4",
    "facz": "expected ident at line 1 column 3",
    "hello": "expected value at line 1 column 1",
    "NaN": "expected value at line 1 column 1",
    "[NaN]": "expected value at line 1 column 2",
    "Infinity": "expected value at line 1 column 1",
    "-Infinity": "invalid number at line 1 column 2",
    "\ufeff{}": "expected value at line 1 column 1",
    "'a'": "expected value at line 1 column 1",
    "+": "expected value at line 1 column 1",
    ".0": "expected value at line 1 column 1",
    "-": "EOF while parsing a value at line 1 column 1",
    "-a": "invalid number at line 1 column 2",
    "00": "invalid number at line 1 column 2",
    "-012": "invalid number at line 1 column 3",
    "0x80": "trailing characters at line 1 column 2",
    "1a": "trailing characters at line 1 column 2",
    "0.": "EOF while parsing a value at line 1 column 2",
    "1.a": "invalid number at line 1 column 3",
    "1.e1": "invalid number at line 1 column 3",
    "1e": "EOF while parsing a value at line 1 column 2",
    "1e+": "EOF while parsing a value at line 1 column 3",
    "1ex": "invalid number at line 1 column 3",
    "1e999": "number out of range at line 1 column 5",
    "9" * 400: "number out of range at line 1 column 400",
    "100e777777777777777777777777777": "number out of range at line 1 column 14",
    '"': "EOF while parsing a string at line 1 column 1",
    '"lol': "EOF while parsing a string at line 1 column 4",
    '"lol"a': "trailing characters at line 1 column 6",
    '"\\': "EOF while parsing a string at line 1 column 2",
    '"\\q"': "invalid escape at line 1 column 3",
    '"\\u12"': "EOF while parsing a string at line 1 column 6",
    '"\\u12zz"': "invalid escape at line 1 column 7",
    '"\\udc00"': "lone leading surrogate in hex escape at line 1 column 7",
    '"\\ud83c\\uffff"': "lone leading surrogate in hex escape at line 1 column 13",
    '"\\ud83cx"': "unexpected end of hex escape at line 1 column 8",
    '"\n"': "control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0",
    '"\u00e9" x': "trailing characters at line 1 column 6",
    "[": "EOF while parsing a list at line 1 column 1",
    "[ ": "EOF while parsing a list at line 1 column 2",
    "[1": "EOF while parsing a list at line 1 column 2",
    "[1,": "EOF while parsing a value at line 1 column 3",
    "[1,]": "trailing comma at line 1 column 4",
    "[1 2]": "expected `,` or `]` at line 1 column 4",
    "[,": "expected value at line 1 column 2",
    "[]a": "trailing characters at line 1 column 3",
    "{": "EOF while parsing an object at line 1 column 1",
    "{ ": "EOF while parsing an object at line 1 column 2",
    "{1": "key must be a string at line 1 column 2",
    "{a: 1}": "key must be a string at line 1 column 2",
    "{,": "key must be a string at line 1 column 2",
    '{"a"': "EOF while parsing an object at line 1 column 4",
    '{"a" 1': "expected `:` at line 1 column 6",
    '{"a":': "EOF while parsing a value at line 1 column 5",
    '{"a":1': "EOF while parsing an object at line 1 column 6",
    '{"a":1 1': "expected `,` or `}` at line 1 column 8",
    '{"a":1,': "EOF while parsing a value at line 1 column 7",
    '{"a":1,}': "trailing comma at line 1 column 8",
    '{"a":1,b': "key must be a string at line 1 column 8",
    '{\n  "a": 1,\n  "b": }': "expected value at line 3 column 8",
    '{\n  "a": 1\n  "b": 2}': "expected `,` or `}` at line 3 column 3",
    "[" * 200: "recursion limit exceeded at line 1 column 128",
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_a_broken_text_is_refused_with_the_parsers_error(text: str) -> None:
    assert json_problem(text) == PROBLEMS[text]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@given(values, st.sampled_from([None, 1]), st.booleans())
def test_every_json_text_passes(value: object, indent: int | None, plain: bool) -> None:
    assert json_problem(json.dumps(value, indent=indent, ensure_ascii=plain)) is None


def test_what_is_just_not_too_deep_passes() -> None:
    assert json_problem("[" * 127 + "]" * 127) is None


@given(st.text(alphabet='[]{}",:01.eE+-nulltrfase\\ \n', max_size=12))
def test_what_passes_is_json_and_nothing_else(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        assert json_problem(text) is not None
    else:
        problem = json_problem(text)
        assert problem is None or problem.startswith("number out of range"), problem
