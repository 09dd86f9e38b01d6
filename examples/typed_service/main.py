"""Call a typed service, whose session has a context."""

import os
import sys
from pathlib import Path

from flamepy.core import ApplicationAttributes
from flamepy.local import LocalCluster
from flamepy.service import Session

SERVICE = str(Path(__file__).with_name("service.py"))


def main() -> None:
    with Session("greeter", ctx=0) as session:
        for name in ("Ada", "Grace"):
            print(session.invoke(name, timeout=60))
        print("context:", session.context())


if __name__ == "__main__":
    app = ("greeter", ApplicationAttributes(command=sys.executable, arguments=[SERVICE]))
    with LocalCluster(executors=1, apps=[app]) as cluster:
        os.environ["FLAME_ENDPOINT"] = cluster.endpoint
        os.environ["FLAME_CACHE_ENDPOINT"] = cluster.cache_endpoint or ""
        main()
