"""Every code block of the README and of docs/ does what it says."""

from __future__ import annotations

import itertools
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from flamepy.config import FlameContext
from flamepy.core import ApplicationAttributes, connect
from flamepy.local.manifest import read_manifest

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "examples" / "byte_service" / "service.py"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ENVIRONMENT = ("$ python3 -m venv venv", "$ . venv/bin/activate")
EVALUATED = re.compile(r'^eval "\$\((.*)\)"$')
SETTING = re.compile(r"[A-Z_]+=")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
WALKED = ROOT / "docs" / "tutorial"  # tests/e2e/test_tutorials.py does what they say


def blocks(kind: str) -> list[object]:
    return [
        pytest.param(match.group(2), id=f"{path.stem}-{number}")
        for path in DOCUMENTS
        for number, match in enumerate(BLOCK.finditer(path.read_text()))
        if match.group(1) == kind and WALKED not in path.parents
    ]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables of a cluster where the byte service is registered, as the documents assume.

    And of a token, which our cluster does not ask for.
    """
    secret = tmp_path / "a-token"
    secret.write_text("secret\n")
    tokens = {"TEAM_TOKEN": "secret", "TOKEN_FILE": str(secret)}
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        _, endpoint, _, cache_endpoint = process.stdout.readline().split()
        with connect(endpoint) as connection:
            spec = ApplicationAttributes(command=sys.executable, arguments=[str(SERVICE)])
            connection.register_application("byte-service", spec)
        yield {"FLAME_ENDPOINT": endpoint, "FLAME_CACHE_ENDPOINT": cache_endpoint, **tokens}
        process.terminate()


@pytest.mark.parametrize("program", blocks("python"))
def test_a_program_runs_when_pasted(program: str, cluster: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, **cluster},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "it shows nothing"
    assert "Traceback" not in done.stderr


def test_the_twelve_lines_are_twelve_and_show_the_informer_at_work(tmp_path: Path) -> None:
    program = BLOCK.search((ROOT / "README.md").read_text().split("## Quick start")[1])
    assert program is not None
    lines = [line for line in program.group(2).splitlines() if line.strip()]
    assert len(lines) <= 12
    done = subprocess.run(
        [sys.executable, "-c", program.group(2)], capture_output=True, text=True, check=True
    )
    assert "b'HELLO'" in done.stdout
    assert re.search(r"shout-\w{6} 1 SUCCEED", done.stdout)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_file_is_what_it_says(text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    if "contexts" in yaml.safe_load(text):
        context = FlameContext.from_file(path)
        assert context.endpoint.startswith("https://flame.example.org")
        assert (context.tls is not None) == ("tls:" in text)
    else:
        name, attributes = read_manifest(path)
        assert (name, attributes.delay_release) == ("byte-service", 60)


@pytest.mark.parametrize("text", blocks("console"))
def test_a_command_exists(text: str) -> None:
    assert text.startswith("$ ")
    for line in text.splitlines():
        if not line.startswith("$ "):
            continue  # output, which tests/e2e/test_consoles.py compares
        command = EVALUATED.sub(r"\1", line.removeprefix("$ "))
        words = itertools.dropwhile(SETTING.match, command.split())  # variables of the command
        program, *arguments = words
        if program == "make":
            makefile = (ROOT / "Makefile").read_text()
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE)
        elif program == "pip":
            extra = re.search(r"\[(\w+)\]", line)
            assert arguments[0] == "install"
            if arguments[1].startswith("./"):
                assert (ROOT / arguments[1] / "pyproject.toml").is_file(), arguments[1]
            if extra is not None:
                metadata = (ROOT / "pyproject.toml").read_text()
                assert re.search(rf"^{extra.group(1)} = \[", metadata, re.MULTILINE)
        elif program == "python":
            own = "/" not in arguments[0]  # the reader's
            assert own or (ROOT / arguments[0]).is_file(), arguments[0]
        elif line not in ENVIRONMENT:
            assert program == "flamepy"
            check_words(arguments)


@cache
def help_of(*command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "flamepy", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def commands_of(*command: str) -> set[str]:
    listed = help_of(*command).partition("\nCommands:\n")[2]
    return set(re.findall(r"^  (\S+)", listed, re.MULTILINE))


def check_words(words: list[str]) -> None:
    """Each command must be listed by the help of the one before, each option by its own."""
    command: list[str] = []
    for word in words:
        if word.startswith("-"):
            options = re.findall(r"(?<!\S)--?[\w-]+", help_of(*command).partition("Options:")[2])
            assert word in options, f"flamepy {' '.join(command)} has no {word}"
        elif word in commands_of(*command):
            command.append(word)
        else:
            assert command, f"there is no flamepy {word}"


def test_the_check_of_commands_finds_what_does_not_exist() -> None:
    check_words(["apps", "register", "file.yaml", "--update"])
    for words in (["down"], ["sessions", "--update"], ["apps", "--update"], ["--data"]):
        with pytest.raises(AssertionError):
            check_words(words)


def test_the_table_of_commands_has_a_row_for_each() -> None:
    table = (ROOT / "docs" / "commands.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(commands_of())


@pytest.mark.parametrize("drawing", blocks("mermaid"))
def test_a_drawing_can_be_drawn(drawing: str) -> None:
    assert runpy.run_path(str(ROOT / "scripts/site/drawings.py"))["svg"](drawing).count("<rect") > 3


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize(
    "drawing", [text for kind, text in BLOCK.findall(ARCHITECTURE) if kind == "mermaid"]
)
def test_a_drawing_names_real_rooms(drawing: str) -> None:
    assert drawing.startswith("flowchart ")
    rooms = {path.stem for path in (ROOT / "src" / "flamepy").rglob("*")}
    named = set(re.findall(r"\b(cli|core|aio|watching|rpc|wire|reader|store|worker)\b", drawing))
    assert len(named) >= 4
    assert named <= rooms


def test_every_link_leads_somewhere() -> None:
    for path in [*DOCUMENTS, *ROOT.glob("examples/**/README.md"), *ROOT.glob("plugins/*/*.md")]:
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", path.read_text()):
            if not target.startswith("http"):
                page = path.parent / target if target else path
                assert page.exists(), f"{path.name}: {target}"
                assert not anchor or anchor in anchors(page), f"{path.name}: {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
