"""A ``LocalCluster`` in a process of its own, which a test can kill, starve and start again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

SERVICE = str(Path(__file__).parent / "recorded_service.py")


class ClusterProcess:
    """A cluster that keeps its port from one start to the next.

    Args:
        folder: for its temporary files and its standard error.
        options: of ``LocalCluster``; ``apps`` as (name, attributes as a mapping); and
            ``restart_pause``, the seconds that an interrupted session waits after a restart.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.options = options
        self.endpoint = ""
        self.process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "cluster.err"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *wrapper: str) -> ClusterProcess:
        """Start it; ``wrapper`` is a command to run it by. Raises AssertionError with its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, __file__, json.dumps(self.options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "TMPDIR": str(self.folder)},
            )
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        if not self.endpoint:
            self.end()
            raise AssertionError(f"the cluster did not start: {self.log.read_text()}")
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

    def __enter__(self) -> ClusterProcess:
        return self.start() if self.process is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def main() -> None:
    from flamepy.local import LocalCluster, engine
    from flamepy.types import ApplicationAttributes

    options = json.loads(sys.argv[1])
    engine.RESTART_PAUSE = options.pop("restart_pause", engine.RESTART_PAUSE)
    apps = [(name, ApplicationAttributes(**spec)) for name, spec in options.pop("apps", ())]
    with LocalCluster(apps=apps, **options) as cluster:
        print(cluster.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
