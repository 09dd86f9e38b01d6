"""A learner and its actors: processes append games to an object, the learner reads what is new."""

import json
import os
import sys
import tempfile
from concurrent.futures import wait
from pathlib import Path

import numpy as np
from game import COLUMNS, ROWS
from picture import draw

from flamepy.core import ApplicationAttributes, ObjectRef, connect
from flamepy.local import LocalCluster

SERVICE = Path(__file__).with_name("service.py")
PICTURE = Path(tempfile.gettempdir()) / "learning-curve.png"
ACTORS, ROUNDS, STEP, DISCOUNT = 4, 15, 0.5, 0.98


def learn(weights: np.ndarray, moves: np.ndarray) -> None:
    """Move the weights towards what each move was worth."""
    for field, move, reward, after, end in moves:
        worth = reward if end else reward + DISCOUNT * weights[after].max()
        weights[field, move] += STEP * (worth - weights[field, move])


def main() -> None:
    actors = ApplicationAttributes(command=sys.executable, arguments=[str(SERVICE)])
    with (
        LocalCluster(executors=ACTORS, apps=[("actors", actors)]) as cluster,
        connect(context=cluster.context) as connection,
        connection.create_session("actors") as session,
    ):
        cache, weights = connection.objects, np.zeros((ROWS * COLUMNS, 4))
        buffer = cache.put("actors/shared", "games follow as patches")
        policy = cache.put("actors/shared", weights)
        curve, learned, reads = [], 0, 0

        def deltas(ref: ObjectRef) -> list[dict]:
            return cache.get(ref, lambda base, deltas: deltas)

        for turn in range(ROUNDS):
            task = {
                "buffer": buffer.encode().hex(),
                "weights": policy.encode().hex(),
                "round": turn,
            }
            tasks = [json.dumps({**task, "actor": actor}).encode() for actor in range(ACTORS)]
            futures = list(session.run(one) for one in tasks)
            while wait(futures, timeout=0.01).not_done:
                reads += len(deltas(buffer)) >= 0  # only what is new is sent
            new = sorted(deltas(buffer)[learned:], key=lambda one: one["actor"])
            learned += len(new)
            for one in new:
                learn(weights, one["moves"])
            policy = cache.update(policy, weights)
            curve.append(float(np.mean([json.loads(one.result()) for one in futures])))
        info = cache.cache_info()
    print(f"{ROUNDS} rounds, {learned} patches by {ACTORS} processes, each learned from once")
    print("reads that took everything:", info.misses)
    print(f"a game was worth {curve[0]:.0f} in the first round and {curve[-1]:.0f} in the last")
    draw(PICTURE, curve)
    print("the learning curve is in", os.path.basename(PICTURE))


if __name__ == "__main__":
    main()
