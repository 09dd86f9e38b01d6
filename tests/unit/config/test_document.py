"""Every problem of a file is found at once, with its line, and a word that was probably meant."""

from __future__ import annotations

import jsonschema
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from flamepy.config.schema import published
from flamepy.config.schema.document import Document, Finding

BROKEN = """\
current-context: produktion
contexts:
  - name: production
    cluster:
      endpont: "http://x:1"
      token: [hunter2]
    reactor:
      checkpiont: a.db
      audit: soon
    informers:
      - jsonlog
      - name: alerts
        plugin: jsonlog
        applicaton: render
        events:
          - failed
          - overdew
        replay: al
        retry: {atempts: 3}
        workers: 0
        rules:
          - {expect: ends, within: 5}
      - name: alerts
        options: hunter2
      - {options: {}}
"""


def texts(text: str) -> list[str]:
    return [one.text("f") for one in Document(text).findings()]


def test_every_problem_is_found_with_its_line() -> None:
    found = texts(BROKEN)
    wanted = [
        ("f:1:18: current-context: no context is called 'produktion': 'production'"),
        ("f:5:7: contexts[production].cluster: unknown key 'endpont'; did you mean 'endpoint'?"),
        ("f:6:14: contexts[production].cluster.token: must be text, best '${NAME}' of an"),
        ("f:8:7: contexts[production].reactor: unknown key 'checkpiont'; did you mean 'checkpo"),
        ("f:9:14: contexts[production].reactor.audit: must be a number of seconds above 0, got"),
        ("f:14:9: contexts[production].informers[alerts]: unknown key 'applicaton'; did you me"),
        ("f:17:13: contexts[production].informers[alerts].events[1]: must be one of added, "),
        ("f:18:17: contexts[production].informers[alerts].replay: must be one of all, active,"),
        ("f:19:17: contexts[production].informers[alerts].retry: unknown key 'atempts'; did yo"),
        ("f:20:18: contexts[production].informers[alerts].workers: must be a whole number, 1 o"),
        ("f:22:22: contexts[production].informers[alerts].rules[0].expect: must be one of start"),
        ("f:23:9: contexts[production].informers[alerts]: the name 'alerts' is that of another"),
        ("f:24:18: contexts[production].informers[alerts].options: must be a mapping of the plu"),
        ("f:25:9: contexts[production].informers[2]: name is missing: what it is called"),
    ]
    assert len(found) == len(wanted), found
    for line, begin in zip(found, wanted, strict=True):
        assert line.startswith(begin.replace("informers[2]", "informers[3]")), line
    assert "did you mean 'overdue'?" in found[6]
    assert "hunter2" not in "".join(found), "a token or an option may be a secret"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "f:1:5: this is not YAML"),
        ("", "f: must be a mapping of keys to values, got None"),
        ("- 1", "f:1:1: must be a mapping of keys to values, got [1]"),
        ("contexts: []\ncontexts: []", "f:2:1: the key 'contexts' is there twice, in line 1"),
        ("contexts:\n- {name: a}\n- {name: a}", "f:3:3: contexts[a]: the name 'a' is that of"),
        ("contexts: [{name: a, informers: x}]", "f:1:33: contexts[a].informers: must be a list"),
        ("contexts: [{name: a, informers: [{name: b, options: {1: 2}}]}]", "keys must be texts"),
    ],
)
def test_what_is_wrong_with_the_file_itself(text: str, said: str) -> None:
    found = texts(text)
    assert any(said in one for one in found), found


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("where: failed", "must be module:function, or a mapping such as {state: [failed]}, got"),
        ("transform: failed", "must be a function, written module:function, got 'failed'"),
        ("key: alerts.key", "must be one of task, session, application, or module:function, got"),
        ("rules: [{expect: end, within: 1, where: x}]", "must be a function, written module:f"),
        ("uid: ' '", "must be text, got ' '"),
    ],
)
def test_a_text_without_its_pattern_is_found(option: str, said: str) -> None:
    (one,) = texts(f"contexts: [{{name: a, informers: [{{name: b, {option}}}]}}]")
    assert said in one


def test_yaml_that_is_broken_shows_none_of_its_lines() -> None:
    (one,) = texts("password: hunter2\n  token: [hunter2")
    assert "hunter2" not in one


def test_aliases_and_merges_are_read_once_each() -> None:
    """A file of nested aliases has a number of places that grows by the power of its depth."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    lines += ["base: &base {queue_size: 0}", "contexts:", "- name: c"]
    lines += ["  informers:", "  - {name: one, <<: *base}", "  - {name: two, <<: *base}"]
    found = Document("\n".join(lines)).findings()
    assert [one.where.split(".")[-2:] for one in found] == [
        ["informers[one]", "queue_size"],
        ["informers[two]", "queue_size"],
    ]


def test_a_problem_without_a_place_is_one_of_the_file() -> None:
    assert Finding(0, 0, "", "no").text("f.yaml") == "f.yaml: no"


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 5),
    st.floats(-1, 5),
    st.sampled_from(["failed", "all", "x", "task", "m:f", "end", "report", ""]),
)
_NAMES = st.sampled_from(
    [
        *("name", "events", "retry", "attempts", "rules", "expect", "within", "where", "live"),
        *("timeout", "plugin", "options", "workers", "key", "state", "replay", "zzz"),
        *("transform", "uid", "application", "session"),
    ]
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(_NAMES, inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(_NAMES, _VALUES, max_size=6))
@example({"where": "failed"})
def test_check_and_schema_agree(entry: dict[str, object]) -> None:
    """What an editor accepts, the check accepts; null is only less of a problem to the check."""
    value = {"contexts": [{"name": "c", "informers": [{"name": "n", **entry}]}]}
    found = Document(yaml.safe_dump(value)).findings()
    accepted = jsonschema.Draft7Validator(published.json_schema()).is_valid(value)
    if accepted:
        assert not [one for one in found if "must be" in one.message or "unknown" in one.message]
    if not found and "null" not in yaml.safe_dump(value):
        assert accepted
