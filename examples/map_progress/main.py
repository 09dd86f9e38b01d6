"""Map a function over many inputs; an informer shows how far the map is, on standard error."""

import os
import sys
from pathlib import Path

from flamepy.informers import TaskInformer
from flamepy.local import LocalCluster
from flamepy.runner import Runner

LIMIT, BLOCK = 10_000, 100


def longest(start: int) -> tuple[int, int]:
    """Return the longest Collatz sequence of a block of numbers: its steps and its beginning."""

    def steps(number: int) -> int:
        count = 0
        while number != 1:
            number = 3 * number + 1 if number % 2 else number // 2
            count += 1
        return count

    return max((steps(number), number) for number in range(start, start + BLOCK))


class Progress(TaskInformer):
    """Its callbacks run one after another, so it needs no lock."""

    def __init__(self, total: int) -> None:
        self.total, self.ended = total, 0

    def on_terminal(self, event) -> None:
        self.ended += 1
        sys.stderr.write(f"\r{self.ended} of {self.total} blocks, {event.session_id}")


def main() -> None:
    blocks = range(1, LIMIT, BLOCK)
    with Runner("collatz", informer=Progress(len(blocks))) as runner:
        steps, number = max(runner.service(longest).map(blocks))
    print(f"below {LIMIT} the sequence of {number} is the longest: {steps} steps")


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)  # a runner packs the working directory
    with LocalCluster() as cluster:
        os.environ["FLAME_ENDPOINT"] = cluster.endpoint
        os.environ["FLAME_CACHE_ENDPOINT"] = cluster.cache_endpoint or ""
        main()
