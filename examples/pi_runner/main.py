"""Estimate pi with functions that travel to the cluster, and show how far the batch is."""

import os
import random
from pathlib import Path

from flamepy.local import LocalCluster
from flamepy.runner import Runner

BATCHES, POINTS = 20, 20_000


def hits(seed: int) -> int:
    points = random.Random(seed)
    return sum(points.random() ** 2 + points.random() ** 2 <= 1 for _ in range(POINTS))


def main() -> None:
    with Runner("pi") as runner:
        service = runner.service(hits)
        futures = [service(seed) for seed in range(BATCHES)]
        runner.wait(futures, progress=True)
        total = sum(runner.get(futures))
    print(f"{BATCHES * POINTS} points, pi is about {4 * total / (BATCHES * POINTS):.2f}")


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)  # a runner packs the working directory
    with LocalCluster() as cluster:
        os.environ["FLAME_ENDPOINT"] = cluster.endpoint
        os.environ["FLAME_CACHE_ENDPOINT"] = cluster.cache_endpoint or ""
        main()
