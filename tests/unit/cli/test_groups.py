"""A group of commands shows its help when it is called alone."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from flamepy.cli.commands import flamepy


def groups() -> list[list[str]]:
    """Return the words that call each group which does nothing alone."""
    found: list[list[str]] = [[]]
    context = click.Context(flamepy)
    for name in flamepy.list_commands(context):
        command = flamepy.get_command(context, name)
        if isinstance(command, click.Group) and not command.invoke_without_command:
            found.append([name])
    return found


@pytest.mark.parametrize("words", groups(), ids=lambda words: " ".join(["flamepy", *words]))
def test_a_group_alone_prints_its_help_and_ends_well(words: list[str]) -> None:
    alone = CliRunner().invoke(flamepy, words, prog_name="flamepy")
    asked = CliRunner().invoke(flamepy, [*words, "--help"], prog_name="flamepy")
    assert (alone.exit_code, alone.stderr) == (0, "")
    assert alone.stdout == asked.stdout
    assert alone.stdout.startswith(" ".join(["Usage: flamepy", *words]))


def test_a_command_that_is_missing_after_options_is_a_mistake() -> None:
    found = CliRunner().invoke(flamepy, ["--endpoint", "http://127.0.0.1:1"], prog_name="flamepy")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "Missing command." in found.stderr
