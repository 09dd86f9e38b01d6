"""Seconds on the command line."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from flamepy.cli.values import SECONDS
from flamepy.cli.verbs.up import up
from flamepy.runtime.clocks import LONGEST


@pytest.mark.parametrize(("text", "wanted"), [("2.5", 2.5), ("inf", LONGEST), ("1e10", LONGEST)])
def test_any_size_is_taken(text: str, wanted: float) -> None:
    assert SECONDS.convert(text, None, None) == wanted


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "", "-inf"])
def test_what_is_none_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"no number of seconds above 0, such as 2\.5"):
        SECONDS.convert(text, None, None)


@pytest.mark.parametrize("option", ["--task-timeout", "--bind-timeout"])
def test_up_names_the_option(option: str) -> None:
    done = CliRunner().invoke(up, [option, "nan"])
    assert done.exit_code == 2
    assert option in done.output
    assert "no number of seconds" in done.output
