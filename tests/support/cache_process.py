"""An object cache in a process of its own, which a test can kill and start again at its port."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from support.server_process import ServerProcess


class CacheProcess(ServerProcess):
    """Use it with ``with``.

    Args:
        place: the folder for its standard error.
        options: of ``ObjectCache``, but for ``host``.
    """

    def __init__(self, place: Path, **options: Any) -> None:
        given = {"port": 0, "folder": None, **options}
        super().__init__("support.cache_process", place / "cache.err", options=given)


def main() -> None:
    from flamepy.local.object_cache.server import ObjectCache

    options = json.loads(sys.argv[1])
    folder = options.pop("folder")
    cache = ObjectCache(host="127.0.0.1", folder=Path(folder) if folder else None, **options)
    cache.start()
    print(cache.endpoint, flush=True)
    sys.stdin.read()
    cache.stop()


if __name__ == "__main__":
    main()
