"""What an engine answers reaches the terminal as one line that moves no cursor."""

from __future__ import annotations

import click

from flamepy.cli.engine import failure


def test_an_error_is_one_line_without_escape_codes() -> None:
    with click.Context(click.Command("tasks"), info_name="flamepy tasks"):
        assert str(failure("gone:\n  \x1b[2Jall")) == "flamepy tasks: gone: \\x1b[2Jall"
