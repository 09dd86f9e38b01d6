"""The table of flame.yaml's keys has every option that the code has, and values that it takes."""

from __future__ import annotations

import inspect
import json
import runpy
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from flamepy.config.schema import keys, published
from flamepy.config.schema.document import Document
from flamepy.config.schema.kinds import Kind, ListOf, OneOf, Section
from flamepy.informers import Reactor
from flamepy.informers.arguments import KEYS, ON_STUCK, REPLAYS, TRANSITIONS
from flamepy.informers.event_names import EVENT_NAMES
from flamepy.informers.expect import Expected
from flamepy.informers.options import Options
from flamepy.informers.plugins.settings import arguments_of
from flamepy.types import RetryPolicy, SessionState, TaskState

ROOT = Path(__file__).parents[3]
OF_CODE = {"connection", "endpoint", "context", "plugins", "on_fatal", "settings"}  # objects


def choices(section: Section, name: str) -> set[str]:
    kind: Kind = section.get(name).kind
    kind = kind.kinds[0] if isinstance(kind, OneOf) else kind
    kind = kind.item if isinstance(kind, ListOf) else kind
    return set(kind.values)  # type: ignore[attr-defined]  # a Choice


class TestNothingIsForgotten:
    def test_every_option_of_register_is_a_key_of_an_entry(self) -> None:
        register = inspect.signature(Reactor.register).parameters
        taken = set(register) - {"self", "informer"}
        assert taken == {one.name for one in fields(Options)} | {"application", "session"}
        assert set(keys.INFORMER.names) == taken | {"name", "plugin", "options"}

    def test_every_setting_of_a_reactor_is_a_key(self) -> None:
        taken = set(inspect.signature(Reactor).parameters) - OF_CODE
        assert set(keys.REACTOR.names) == taken

    def test_every_field_of_a_policy_is_a_key(self) -> None:
        assert set(keys.RETRY.names) == {one.name for one in fields(RetryPolicy)}

    def test_every_key_that_a_context_reads_is_in_the_table(self) -> None:
        """The parser of a context names keys in calls; the table has exactly these."""
        from flamepy.config.context import FlameContext
        from flamepy.config.file import ConfigFile

        asked: dict[tuple[str, ...], set[str]] = {}

        class Noting(ConfigFile):
            def check_keys(self) -> None:
                super().check_keys()
                asked.update(self._known)

        file = Noting("f", {"package": {}}, "f")
        original = ConfigFile.load
        ConfigFile.load = classmethod(lambda *_, **__: file)  # type: ignore[method-assign, assignment]
        try:
            FlameContext(environ={})
        finally:
            ConfigFile.load = original  # type: ignore[method-assign]
        for path, names in asked.items():
            section: Any = keys.CONTEXT
            for step in path:
                section = section.get(step).kind
            assert set(section.names) == names, path

    @pytest.mark.parametrize(
        ("section", "name", "values"),
        [
            (keys.INFORMER, "events", EVENT_NAMES),
            (keys.INFORMER, "replay", REPLAYS),
            (keys.INFORMER, "transitions", TRANSITIONS),
            (keys.INFORMER, "on_stuck", ON_STUCK),
            (keys.INFORMER, "key", KEYS),
            (keys.REACTOR, "signal_replay", REPLAYS),
            (keys.RULE, "expect", [one.value for one in Expected]),
            (keys.WHERE, "state", [one.name.lower() for one in (*TaskState, *SessionState)]),
        ],
    )
    def test_choices_are_those_of_the_code(
        self, section: Section, name: str, values: list[str]
    ) -> None:
        assert choices(section, name) == set(values)


class TestPublished:
    def test_the_shipped_schema_and_the_page_are_those_of_the_table(self) -> None:
        way = "run scripts/print_config_schema.py"
        assert published.FILE.read_text() == published.printed_schema(), way
        printed = runpy.run_path(str(ROOT / "scripts" / "print_config_schema.py"))["printed"]
        page = (ROOT / "docs" / "configuration.md").read_text()
        assert printed(page) == page, way

    def test_the_schema_is_one(self) -> None:
        jsonschema.Draft7Validator.check_schema(json.loads(published.FILE.read_text()))

    def test_the_line_for_editors_names_the_installed_file(self) -> None:
        line = published.editor_line()
        assert line.startswith("# yaml-language-server: $schema=file:///")
        assert Path(line.split("file://")[1]) == published.FILE


def examples() -> list[Any]:
    found = []
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("plugins/*/README.md")]
    for path in sorted(pages):
        for block in path.read_text().split("```yaml\n")[1:]:
            text = block.split("```")[0]
            if "contexts:" in text:
                found.append(pytest.param(text, id=f"{path.parent.name}-{len(found)}"))
    return found


@pytest.mark.parametrize("text", examples())
def test_the_files_of_the_documents_are_right(text: str) -> None:
    document = Document(text)
    assert document.findings() == []
    assert document.value["current-context"], "else a command says that it is missing"
    jsonschema.validate(yaml.safe_load(text), published.json_schema())


SETTINGS = {
    "application": "a",
    "session": "s-1",
    "events": ["failed", "overdue"],
    "where": {"live": True, "state": ["failed"], "application": ["a"]},
    "transform": "tests_of_settings:same",
    "uid": "u",
    "queue_size": 5,
    "retry": {"attempts": 3, "timeout": None, "budget": 2.5},
    "timeout": None,
    "replay": "active",
    "resume": False,
    "batch_size": 7,
    "batch_delay": 0.5,
    "workers": 2,
    "key": "session",
    "on_stuck": "report",
    "transitions": "complete",
    "rules": [{"expect": "end", "within": 600}],
    "max_failures": 3,
    "probe_delay": 5,
}


def test_what_the_table_takes_the_options_take(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("tests_of_settings")
    module.same = lambda event: event  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, "tests_of_settings", module)
    assert set(SETTINGS) == {one.name for one in keys.REGISTRATION}
    entry = {"name": "one", **SETTINGS}
    assert list(keys.INFORMER.problems(entry, ())) == []
    made = arguments_of(SETTINGS)
    made.pop("application"), made.pop("session")
    options = Options(**made)
    assert options.retry == RetryPolicy(attempts=3, timeout=None, budget=2.5)
    assert options.rules[0].name == "end(within=600)"
    assert repr(options.where) == "((live & state_in(FAILED)) & application('a'))"
    assert options.transform is module.same
    assert options.timeout is None
    for name in ("queue_size", "replay", "resume", "batch_size", "workers", "key", "max_failures"):
        assert getattr(options, name) == SETTINGS[name]
