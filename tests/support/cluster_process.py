"""A ``LocalCluster`` in a process of its own, which a test can kill, starve and start again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from support.server_process import ServerProcess

SERVICE = str(Path(__file__).parent / "recorded_service.py")


class ClusterProcess(ServerProcess):
    """A cluster that keeps its port from one start to the next.

    Args:
        folder: for its temporary files and its standard error.
        options: of ``LocalCluster``; ``apps`` as (name, attributes as a mapping); and
            ``restart_pause``, the seconds that an interrupted session waits after a restart.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        super().__init__(
            "support.cluster_process",
            folder / "cluster.err",
            options=options,
            environment={"TMPDIR": str(folder)},
        )


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
