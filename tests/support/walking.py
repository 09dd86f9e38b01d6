"""Does what a tutorial's page says, from the top, in an empty folder.

A block with a title is a file: it is written. A console block is typed: each ``$`` line is run, and
what it prints has to be the lines below it, where ``...`` stands for anything, and a line ``...``
for any number of lines. A console block with a title is a terminal of its own, whose command runs
until ``^C`` in a later block of that title, or the end of the page.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from support.waiting import eventually

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
FILES = ("python", "yaml", "toml", "ini")
PREPARING = ("python3 -m venv", ". venv/bin/activate", ". fresh/bin/activate", "pip ")
READY = re.compile(r"ready: (\S+) cache: (\S+)")
USUAL = "http://127.0.0.1:8080"  # where the pages have a cluster
LIMIT = 90  # seconds for a command
ROOT = Path(__file__).parents[2]


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Return kind, title and text of each block."""
    return [(kind, title or "", text) for kind, title, text in BLOCK.findall(page.read_text())]


def files(page: Path) -> dict[str, str]:
    """Return the files of a page as they are in the end."""
    return {title: text for kind, title, text in blocks(page) if kind in FILES and title}


def pattern(expected: list[str]) -> re.Pattern[str]:
    """Return what output matches these lines."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r".*".join(re.escape(part) for part in line.split("...")) + r"\s*\n")
    return re.compile("".join(parts))


@dataclass
class Terminal:
    """A command that runs on, and what it has printed."""

    process: subprocess.Popen[str]
    text: str = ""
    seen: int = 0
    reader: threading.Thread | None = None

    def read(self) -> None:
        """Collect what it prints, to its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def expect(self, lines: list[str]) -> None:
        """Wait until it has printed these lines, after those of before."""
        if not lines:
            return
        wanted = pattern(lines)

        def printed() -> bool:
            return wanted.search(self.text, self.seen) is not None

        try:
            eventually(printed, limit=LIMIT)
        except AssertionError:
            raise AssertionError(f"expected\n{lines}\ngot\n{self.text[self.seen :]}") from None
        found = wanted.search(self.text, self.seen)
        assert found is not None
        self.seen = found.end()

    def interrupt(self) -> None:
        """Type Ctrl-C, and wait until it has ended."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LIMIT)
        assert self.reader is not None
        self.reader.join(LIMIT)
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Walk:
    """One reading of a page. A context manager: what it has started is ended."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    terminals: dict[str, Terminal] = field(default_factory=dict)
    commands: int = 0

    def __enter__(self) -> Walk:
        paths = [str(self.folder / "src"), str(self.folder / "site")]
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FLAME_")},
            "HOME": str(self.folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "100",
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for terminal in reversed(self.terminals.values()):
            terminal.interrupt()

    def follow(self, page: Path) -> None:
        """Do what the page says."""
        for kind, title, text in blocks(page):
            if kind in FILES and title:
                path = self.folder / title
                path.parent.mkdir(parents=True, exist_ok=True)
                endpoint = self.environment.get("FLAME_ENDPOINT", USUAL)
                path.write_text(text.replace(USUAL, endpoint))
            elif kind == "console":
                self.type(title, text.splitlines())

    def type(self, title: str, lines: list[str]) -> None:
        """Type one console block, into the terminal of that title or the first one."""
        while lines:
            line, *lines = lines
            until = next((at for at, one in enumerate(lines) if one.startswith("$ ")), len(lines))
            expected, lines = lines[:until], lines[until:]
            if line == "^C":
                terminal = self.terminals.pop(title)
                terminal.interrupt()
                terminal.expect(expected)
            else:
                assert line.startswith("$ "), line
                self.command(title, line.removeprefix("$ "), expected)

    def command(self, title: str, command: str, expected: list[str]) -> None:
        """Run one command; its output has to be what the page shows."""
        self.commands += 1
        if command.startswith(PREPARING):
            if command.startswith("pip install") and command.endswith(" ."):
                self.install()
        elif title:
            self.start(title, command, expected)
        else:
            done = subprocess.run(
                ["bash", "-c", command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LIMIT,
                cwd=self.folder,
                env=self.environment,
                check=False,
            )
            if expected:
                shown = done.stdout if done.stdout.endswith("\n") else f"{done.stdout}\n"
                assert pattern(expected).fullmatch(shown), f"$ {command}\n{done.stdout}"
            else:
                assert done.returncode == 0, f"$ {command}\n{done.stdout}"

    def start(self, title: str, command: str, expected: list[str]) -> None:
        """Run one command in a terminal of its own."""
        cluster = "flamepy up" in command
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}{' --port 0' if cluster else ''}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if cluster else subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        terminal = self.terminals[title] = Terminal(process)
        terminal.reader = threading.Thread(target=terminal.read)
        terminal.reader.start()
        if cluster:
            terminal.expect(["ready: ..."])
            found = READY.search(terminal.text)
            assert found is not None
            self.environment["FLAME_ENDPOINT"] = found[1]
            self.environment["FLAME_CACHE_ENDPOINT"] = found[2]
        else:
            terminal.expect(expected)

    def install(self) -> None:
        """Do what ``pip install .`` does for a package whose code is below ``src``.

        Only its names, without a build: that a wheel of such a package works is tested elsewhere.
        """
        text = (self.folder / "pyproject.toml").read_text()
        name = re.search(r'^name = "([^"]+)"', text, re.MULTILINE)
        version = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
        entries = re.search(r"^\[project\.entry-points\.[^\]]+\]\n((?:.+\n)+)", text, re.MULTILINE)
        assert name is not None and version is not None and entries is not None  # noqa: PT018
        info = self.folder / "site" / f"{name[1].replace('-', '_')}-{version[1]}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name[1]}\nVersion: {version[1]}\n"
        )
        points = entries[1].replace('"', "")
        (info / "entry_points.txt").write_text(f"[flamepy.informers]\n{points}")
