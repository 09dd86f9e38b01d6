"""``flamepy config schema`` prints what editors complete flame.yaml by."""

from __future__ import annotations

import json

from click.testing import CliRunner

from flamepy.cli.commands import flamepy
from flamepy.config.schema.published import editor_line, json_schema


def test_the_schema_is_printed_as_it_is() -> None:
    done = CliRunner().invoke(flamepy, ["config", "schema"])
    assert (done.exit_code, json.loads(done.output)) == (0, json_schema())


def test_the_line_for_the_file_is_printed() -> None:
    done = CliRunner().invoke(flamepy, ["config", "schema", "--line"])
    assert (done.exit_code, done.output) == (0, editor_line() + "\n")
