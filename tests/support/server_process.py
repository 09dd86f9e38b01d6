"""A server in a process of its own, which a test can kill, starve and start again at its port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar

S = TypeVar("S", bound="ServerProcess")
TESTS = str(Path(__file__).parents[1])


class ServerProcess:
    """A program that takes its options as JSON, prints its endpoint, and serves until stdin ends.

    Args:
        module: the program, ``python -m``.
        log: the file for its standard error.
        options: what the program gets; ``port`` stays from one start to the next.
        environment: beside that of this process.
    """

    def __init__(
        self,
        module: str,
        log: Path,
        *,
        options: dict[str, Any],
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.module = module
        self.log = log
        self.options = options
        self.environment = environment
        self.endpoint = ""
        self.process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self: S, *wrapper: str) -> S:
        """Start it; ``wrapper`` is a command to run it by. Raises AssertionError with its log."""
        path = os.pathsep.join([TESTS, *filter(None, [os.environ.get("PYTHONPATH")])])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", self.module, json.dumps(self.options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": path, **self.environment},
            )
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        if not self.endpoint:
            self.end()
            raise AssertionError(f"{self.module} did not start: {self.log.read_text()}")
        self.options["port"] = int(self.endpoint.rpartition(":")[2])
        return self

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        """Let it end by itself; by force when it does not."""
        process, self.process = self.process, None
        if process is not None:
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise

    def __enter__(self: S) -> S:
        return self.start() if self.process is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
