"""Each error has a code of its own, which never changes, and help with commands that exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flamepy.cli.commands import COMMANDS, flamepy
from flamepy.cli.engine import failure
from flamepy.cli.error_help import HELP, classes, meant
from flamepy.errors import SessionBusyError

ROOT = Path(__file__).parents[4]
# Published: a code may come, none may go or change.
CODES = {
    **{"FL000": "FlameError", "FL001": "ConfigError", "FL002": "MissingExtraError"},
    **{"FL100": "InvalidArgumentError", "FL101": "SessionClosedError"},
    **{"FL102": "PickleRefusedError", "FL200": "NotFoundError"},
    **{"FL201": "ApplicationNotFoundError", "FL202": "SessionNotFoundError"},
    **{"FL203": "TaskNotFoundError", "FL204": "ObjectNotFoundError", "FL205": "ObjectBatchError"},
    **{"FL300": "AlreadyExistsError", "FL310": "InvalidStateError", "FL311": "SessionBusyError"},
    **{"FL312": "SessionRetryLimitError", "FL400": "TaskFailedError"},
    **{"FL401": "TaskCancelledError", "FL402": "TaskLostError", "FL403": "SessionLostError"},
    **{"FL500": "InformerError", "FL501": "PluginError", "FL600": "UnavailableError"},
    **{"FL601": "ConnectionClosedError", "FL602": "TlsError", "FL603": "DeadlineExceededError"},
    **{"FL700": "PermissionDeniedError", "FL701": "UnauthenticatedError"},
    **{"FL702": "ResourceExhaustedError", "FL800": "AmbiguousResultError"},
    **{"FL900": "InternalError"},
}


def test_a_published_code_keeps_its_class() -> None:
    found = {code: kind.__name__ for code, kind in classes().items()}
    assert {code: found.get(code) for code in CODES} == CODES


def test_each_class_has_a_code_of_its_own_and_help() -> None:
    assert all("short_code" in vars(kind) for kind in classes().values())
    from flamepy import errors

    public = [name for name in errors.__all__ if name != "FlameErrorCode"]
    assert sorted(kind.__name__ for kind in classes().values()) == sorted(public)
    assert set(HELP) == set(classes())


@pytest.mark.parametrize("code", HELP)
def test_the_commands_of_a_help_exist(code: str) -> None:
    for line in HELP[code].find:
        words = line.split()
        if words[0] == "flamepy":
            assert words[1] in COMMANDS, line
            command = flamepy.get_command(click.Context(flamepy), words[1])
            if isinstance(command, click.Group) and len(words) > 2:
                assert words[2] in command.commands, line


@pytest.mark.parametrize("asked", ["FL311", "fl311", "SessionBusyError", "sessionbusyerror"])
def test_a_code_and_a_class_are_explained(asked: str) -> None:
    done = CliRunner().invoke(flamepy, ["explain-error", asked])
    assert done.exit_code == 0
    assert done.output.startswith("FL311 SessionBusyError (INVALID_STATE)")
    assert "flamepy tasks SESSION" in done.output
    assert "docs/errors.md" + "#fl311" in done.output
    assert "### FL311\n" in (ROOT / "docs" / "errors.md").read_text()


def test_without_a_code_all_are_listed_and_an_unknown_one_is_refused() -> None:
    listed = CliRunner().invoke(flamepy, ["explain-error"])
    assert len(listed.output.splitlines()) == len(HELP)
    refused = CliRunner().invoke(flamepy, ["explain-error", "FL999"])
    assert refused.exit_code == 2
    assert "FL999" in refused.output
    assert meant("flamepy x: it failed (flamepy explain-error FL311)") == "FL311"


def test_a_line_about_an_error_ends_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(click.Command("x"), info_name="flamepy x"):
        assert failure(SessionBusyError("it runs")).code == 1
        failure("a text alone")
    assert capsys.readouterr().err.splitlines() == [
        "flamepy x: it runs (flamepy explain-error FL311)",
        "flamepy x: a text alone",
    ]


def test_the_pages_are_as_the_code_is() -> None:
    script = ROOT / "scripts" / "generate_reference.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
