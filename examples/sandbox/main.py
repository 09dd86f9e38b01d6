"""Run scripts in Python and shell on a cluster."""

import os

from flamepy.local import LocalCluster
from flamepy.tools import Sandbox, SandboxAttr


def main() -> None:
    with Sandbox.create(SandboxAttr("python")) as sandbox:
        output = sandbox.run_code("print(sum(map(int, input().split())))", b"1 2 3", timeout=60)
        print("python:", output.text().strip())
    with Sandbox.create(SandboxAttr("shell", runtime="sh")) as sandbox:
        output = sandbox.run_code("echo done; exit 3", timeout=60)
        print("shell:", output.text().strip(), "exit code", output.exit_code)


if __name__ == "__main__":
    with LocalCluster(executors=2) as cluster:
        os.environ["FLAME_ENDPOINT"] = cluster.endpoint
        main()
