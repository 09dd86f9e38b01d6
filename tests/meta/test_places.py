"""CONTRIBUTING's table "Where to add what": its places exist, and none of them was forgotten.

Each test stands for a row of the table. It takes what there is in the first place (each signal,
each command, ...) and looks for it in the other ones.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import click
import pytest

from flamepy import errors
from flamepy.cli.commands import COMMANDS, flamepy
from flamepy.config.schema import keys
from flamepy.errors import FlameError
from flamepy.informers import predicates, signals
from flamepy.informers.delivery import callbacks
from flamepy.informers.informer import Informer, SessionInformer, TaskInformer
from flamepy.informers.options import Options
from flamepy.informers.predicates import Predicate
from flamepy.local.frontend import Frontend as LocalFrontend
from flamepy.rpc.retry import classifier
from flamepy.rpc.retry.classifier import Failure, Verdict
from flamepy.types import TaskState
from flamepy.watching.state.events import EventKind, EventSource
from flamepy.wire.services import FRONTEND

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "flamepy"
TABLE = (ROOT / "CONTRIBUTING.md").read_text().split("## Where to add what")[1].split("## Style")[0]
ROWS = re.findall(r"^\| (an? .+?|the same .+?) \| (.+) \| (.+) \| (.+) \|$", TABLE, re.MULTILINE)


def text_of(path: str) -> str:
    return (ROOT / path).read_text()


def sources(*but: str) -> str:
    """Return the text of all sources but some, of which generated code is one."""
    left_out = {SOURCE / name for name in but}
    files = (path for path in SOURCE.rglob("*.py") if "_proto" not in path.parts)
    return "\n".join(path.read_text() for path in files if path not in left_out)


def texts_of_tests(*folders: str) -> str:
    """Return the text of the tests in some folders, this module left out."""
    files = itertools.chain(*((ROOT / "tests" / one).rglob("test_*.py") for one in folders))
    return "\n".join(path.read_text() for path in files if path != Path(__file__))


def rows_of(page: str) -> set[str]:
    """Return the names in the first column of a page's tables, without arguments."""
    found = re.findall(r"^\| `([\w-]+)(?:\(.*?\))?` \|", text_of(f"docs/{page}"), re.MULTILINE)
    return set(found)


def test_the_table_has_its_rows_and_every_place_exists() -> None:
    assert len(ROWS) == 12
    for row in ROWS:
        places = [
            path for cell in row[1:] for path in re.findall(r"`([\w./<>-]+/[\w./<>-]+)`", cell)
        ]
        for place in places:
            known = place.partition("<")[0].rpartition("/")[0] if "<" in place else place
            assert any((base / known).exists() for base in (ROOT, SOURCE)), f"{row[0]}: {place}"


# ---------------------------------------------------------------------- a signal

OURS = sorted(signals.namespace)
SENT = sources("informers/signals.py")
LISTED = (signals.__doc__ or "").split("keyword arguments")[1]


@pytest.mark.parametrize("name", OURS)
def test_a_signal_is_listed_sent_and_tested(name: str) -> None:
    family = f"``{name.partition('_')[0]}_*``"
    assert re.search(rf"^{name}\b", LISTED, re.MULTILINE) or family in LISTED, "no row"
    assert re.search(rf"\bsignals\.{name}\b", SENT), "never sent"
    heard = texts_of_tests(
        "unit/informers", "promises", "fault", "unit/rpc", "contract", "unit/watching"
    )
    assert re.search(rf"\b{name}\b", heard), "not tested"


def test_a_signal_is_listed_with_each_of_its_arguments() -> None:
    for signal in signals.namespace.values():
        assert isinstance(signal, signals.FlameSignal)
        arguments = signal.arguments
        assert arguments, f"{signal.name}: no arguments"
        for argument in arguments:
            assert f"``{argument}``" in LISTED, f"{signal.name}: {argument}"


# ---------------------------------------------------------------------- a retry rule


def test_a_retry_rule_has_a_meaning_a_way_and_its_table_in_the_document() -> None:
    assert set(classifier.MEANING) == set(Failure)
    for call, row in classifier.TABLE.items():
        assert set(row) == set(Failure), call
        assert Verdict.RESOLVE not in row.values() or call in classifier.HOW, f"{call}: how?"
    assert classifier.markdown() in text_of("docs/retry.md"), "run scripts/print_retry_table.py"
    tested = text_of("tests/unit/rpc/retry/test_classifier.py")
    for call in classifier.TABLE:
        assert f'"{call}"' in tested, f"{call}: not tested"


# ---------------------------------------------------------------------- an option of register


@pytest.mark.parametrize("name", [one.name for one in fields(Options)])
def test_an_option_has_its_row_in_the_table_of_keys_and_in_the_page(name: str) -> None:
    if name != "name":
        assert name in [one.name for one in keys.REGISTRATION]
    assert re.search(rf"^\| [^|]*`{name}=", text_of("docs/informers.md"), re.MULTILINE), name


# ---------------------------------------------------------------------- a callback


def names_of(*classes: type) -> set[str]:
    return {name for one in classes for name in dir(one) if name.startswith("on_")}


def dispatched() -> set[str]:
    """Return the callbacks that some event goes to, or that are called for no event."""
    of_tasks = {
        name
        for kind, state, requeued in itertools.product(EventKind, TaskState, (True, False))
        for name in callbacks.task_callbacks(kind, state, requeued=requeued)
    }
    return of_tasks | set(callbacks._OF_KIND.values()) | names_of(Informer) | {"on_batch"}


def test_a_callback_is_called_and_documented() -> None:
    defined = names_of(TaskInformer, SessionInformer)
    assert dispatched() == defined
    assert {name for name in rows_of("informers.md") if name.startswith("on_")} == defined
    for name in defined:
        assert inspect.getdoc(getattr(TaskInformer, name, getattr(SessionInformer, name, None)))


# ---------------------------------------------------------------------- a CLI verb


def command_lines(folders: Sequence[str]) -> Iterator[str]:
    """Yield the first word of each list, tuple and call of texts, and what follows "flamepy"."""
    for folder in folders:
        for path in (ROOT / "tests" / folder).rglob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                words = node.args if isinstance(node, ast.Call) else getattr(node, "elts", ())
                texts = [one.value if isinstance(one, ast.Constant) else None for one in words]
                yield from (str(one) for one in texts[:1])
                yield from (
                    str(after) for one, after in itertools.pairwise(texts) if one == "flamepy"
                )


TYPED = set(command_lines(("unit/cli", "e2e")))


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_a_verb_is_a_command_with_help_documented_and_tested(verb: str) -> None:
    command = flamepy.get_command(click.Context(flamepy), verb)
    assert isinstance(command, click.Command), f"{COMMANDS[verb]} has no command of its name"
    assert command.help, "no help"
    assert verb in rows_of("commands.md"), "no row"
    assert verb in TYPED, "not tested"


def test_documented_commands_exist() -> None:
    assert rows_of("commands.md") == set(COMMANDS)


# ---------------------------------------------------------------------- a predicate


def public_predicates() -> Iterator[str]:
    for name, value in vars(predicates).items():
        makes = inspect.isfunction(value) and value.__annotations__.get("return") == "Predicate"
        if not name.startswith("_") and (makes or isinstance(value, Predicate)):
            yield name


@pytest.mark.parametrize("name", sorted(public_predicates()))
def test_a_predicate_is_documented_tested_and_refused_uncalled(name: str) -> None:
    assert name in rows_of("informers.md"), "no row"
    assert re.search(rf"\b{name}\b", text_of("tests/unit/informers/test_predicates.py")), (
        "not tested"
    )
    if inspect.isfunction(getattr(predicates, name)):
        with pytest.raises(errors.InvalidArgumentError, match="call it"):
            predicates.check_made(getattr(predicates, name))


# ---------------------------------------------------------------------- an event source


@pytest.mark.parametrize("source", EventSource)
def test_an_event_source_is_explained_and_reported(source: EventSource) -> None:
    explained = re.findall(r"^    ([A-Z]+): .", inspect.getdoc(EventSource) or "", re.MULTILINE)
    assert source.name in explained, "no line in the docstring of EventSource"
    assert re.search(rf"EventSource\.{source.name}\b", sources("watching/state/events.py")), (
        "unused"
    )


@pytest.mark.parametrize("path", sorted((SOURCE / "watching/io").glob("[a-z]*.py")))
def test_what_reads_the_engine_is_used_by_the_hub_or_by_its_neighbours(path: Path) -> None:
    users = [SOURCE / "watching/hub.py", *(SOURCE / "watching/io").glob("*.py")]
    text = "\n".join(one.read_text() for one in users if one != path)
    assert f"flamepy.watching.io.{path.stem} import" in text


# ---------------------------------------------------------------------- an RPC


@pytest.mark.parametrize("name", FRONTEND)
def test_an_rpc_is_called_has_verdicts_and_is_served(name: str) -> None:
    assert name in classifier.TABLE, "no row of verdicts"
    callers = "".join(path.read_text() for path in (SOURCE / "rpc").rglob("*.py"))
    calls = callers.replace((SOURCE / "rpc/retry/classifier.py").read_text(), "")
    assert f'"{name}"' in calls, "never called"
    served = re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()
    assert inspect.getdoc(getattr(LocalFrontend, served)), "not served by the embedded cluster"


# ---------------------------------------------------------------------- a call for users


def public_methods(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_a_call_of_aio_has_a_synchronous_face() -> None:
    from flamepy import aio, core

    for ours, theirs in ((aio.Connection, core.Connection), (aio.Session, core.Session)):
        assert public_methods(ours) - public_methods(theirs) == set(), ours


# ---------------------------------------------------------------------- a plugin


@pytest.mark.parametrize("folder", sorted((ROOT / "plugins").iterdir()), ids=lambda one: one.name)
def test_a_plugin_has_an_entry_point_an_informer_and_tests(folder: Path) -> None:
    metadata = (folder / "pyproject.toml").read_text()
    group = metadata.split('[project.entry-points."flamepy.informers"]')[1]
    found = re.search(r'^([\w.-]+) = "(\w+):(\w+)"$', group, re.MULTILINE)
    assert found is not None, "no entry point"
    name, module, informer = found.groups()
    code = (folder / "src" / module / "__init__.py").read_text()
    assert informer in code
    tested = "".join(path.read_text() for path in (folder / "tests").glob("test_*.py"))
    assert "check_informer(" in tested
    assert f'"{name}"' in tested, "its entry point is not tested by its name"
    assert f"](../plugins/{folder.name})" in text_of("docs/plugins.md")


# ---------------------------------------------------------------------- an error class

CLASSES = [
    one
    for one in vars(errors).values()
    if inspect.isclass(one) and issubclass(one, FlameError) and not one.__name__.startswith("_")
]
RAISED = sources("errors.py")


def documented(kind: type[FlameError]) -> tuple[str, set[str]]:
    """Return the code and Python's classes that the row of a class has."""
    rows = [line.split(" | ") for line in ERRORS.splitlines()]
    row = next((row for row in rows if row[0] == f"| `{kind.__name__}`"), None)
    assert row is not None, "no row"
    return row[1], {name.rpartition(".")[2] for name in re.findall(r"`([\w.]+)`", row[2])}


ERRORS = text_of("docs/errors.md")
# What the rows leave out: every exception is one, or the class that is named derives from it.
PLAIN = {"Error", "Exception", "BaseException", "object", "OSError", "LookupError"}


@pytest.mark.parametrize("kind", [one for one in CLASSES if one is not FlameError])
def test_an_error_class_is_exported_documented_and_raised(kind: type[FlameError]) -> None:
    assert kind.__name__ in errors.__all__
    code, bases = documented(kind)
    assert code == kind.default_code.name
    theirs = {one.__name__ for one in kind.__mro__ if not issubclass(one, FlameError)} - PLAIN
    assert bases == theirs
    derived = any(kind in one.__mro__[1:] for one in CLASSES)
    assert derived or re.search(rf"\b{kind.__name__}\b", RAISED), "never raised"


def test_every_row_of_errors_is_a_class() -> None:
    assert rows_of("errors.md") == {one.__name__ for one in CLASSES} - {"FlameError"}
