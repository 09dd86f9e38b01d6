"""An object cache in a process of its own, which a test can kill and start again at its port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any


class CacheProcess:
    """Use it with ``with``.

    Args:
        place: the folder for its standard error.
        options: of ``ObjectCache``, but for ``host``.
    """

    def __init__(self, place: Path, **options: Any) -> None:
        self.log = place / "cache.err"
        self.options = {"port": 0, "folder": None, **options}
        self.endpoint = ""
        self.process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *wrapper: str) -> CacheProcess:
        """Start it; ``wrapper`` is a command to run it by."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, __file__, json.dumps(self.options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.endpoint = self.process.stdout.readline().strip()
        assert self.endpoint, self.log.read_text()
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

    def __enter__(self) -> CacheProcess:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def main() -> None:
    from flamepy.local.object_cache import ObjectCache

    options = json.loads(sys.argv[1])
    folder = options.pop("folder")
    cache = ObjectCache(host="127.0.0.1", folder=Path(folder) if folder else None, **options)
    cache.start()
    print(cache.endpoint, flush=True)
    sys.stdin.read()
    cache.stop()


if __name__ == "__main__":
    main()
