"""Schemas are checked at registration with the engine's texts (docs/protocol.md#applications)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flamepy.local.state.refusal import Refusal
from flamepy.local.state.schemas import check_schema
from flamepy.types import ApplicationSchema


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (
            ApplicationSchema(input="{"),
            "invalid input schema: EOF while parsing an object at line 1 column 1",
        ),
        (
            ApplicationSchema(common_data=""),
            "invalid common data schema: EOF while parsing a value at line 1 column 0",
        ),
        (
            ApplicationSchema(output='{"type": 5}'),
            "invalid output schema: 5 is not valid under any of the schemas listed in the "
            "'anyOf' keyword",
        ),
        (ApplicationSchema(input="5"), "invalid input schema: 5 is not of types"),
        (
            ApplicationSchema(input="nonsense"),
            "invalid input schema: expected ident at line 1 column 2",
        ),
    ],
)
def test_a_broken_schema_is_refused(schema: ApplicationSchema, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_schema(schema)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.message.startswith(text)


@pytest.mark.parametrize(
    "schema", [None, ApplicationSchema(), ApplicationSchema(input='{"type": "string"}')]
)
def test_a_good_one_passes(schema: ApplicationSchema | None) -> None:
    check_schema(schema)


def test_without_jsonschema_the_answer_says_what_to_install(monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(Refusal, match=r"flamepy-informers\[local\]"):
        check_schema(ApplicationSchema(input="{}"))


def test_what_a_check_needs_is_loaded_apart_from_the_clusters_loop() -> None:
    """The disk may be slow, and all clients wait for that loop."""
    code = (
        "import sys, threading\n"
        "from flamepy import connect\n"
        "from flamepy.local import LocalCluster\n"
        "from flamepy.types import ApplicationAttributes, ApplicationSchema\n"
        "seen = set()\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'jsonschema':\n"
        "            seen.add(threading.current_thread().name)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "spec = ApplicationAttributes(command='x', schema=ApplicationSchema(input='{}'))\n"
        "with LocalCluster(cache_port=None) as cluster, connect(cluster.endpoint) as connection:\n"
        "    connection.register_application('a', spec)\n"
        "assert seen == {'flamepy-schema-load'}, seen\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
