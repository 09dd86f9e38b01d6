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

    Attributes:
        dialect: what it speaks unless an option says it.

    Args:
        folder: for its temporary files and its standard error.
        options: of ``LocalCluster``; ``apps`` as (name, attributes as a mapping);
            ``restart_pause``, the seconds that an interrupted session waits after a restart; and
            ``signals``, to end by a signal as ``flamepy up`` does, not by the end of stdin.
    """

    dialect = "0.6"

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        options.setdefault("dialect", self.dialect)
        super().__init__(
            "support.cluster_process",
            folder / "cluster.err",
            options=options,
            environment={"TMPDIR": str(folder)},
        )


def main() -> None:
    from flamepy.cli.serving.stopping import StopSignals
    from flamepy.local import LocalCluster, engine
    from flamepy.types import ApplicationAttributes

    options = json.loads(sys.argv[1])
    engine.RESTART_PAUSE = options.pop("restart_pause", engine.RESTART_PAUSE)
    stop = StopSignals() if options.pop("signals", False) else None
    apps = [(name, ApplicationAttributes(**spec)) for name, spec in options.pop("apps", ())]
    with LocalCluster(apps=apps, **options) as cluster:
        print(cluster.endpoint, flush=True)
        if stop is None:
            sys.stdin.read()
        else:
            stop.wait(120.0)


if __name__ == "__main__":
    main()
