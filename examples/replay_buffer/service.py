"""An actor: plays with the weights as they are now, and appends what it saw to the buffer."""

import json

import numpy as np
from game import play

from flamepy.core import FlameService, ObjectRef, TaskContext, get_object, patch_object, run

GAMES = 10


class Actor(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        task = json.loads(context.input or b"{}")
        buffer, weights = (
            ObjectRef.decode(bytes.fromhex(task[name])) for name in ("buffer", "weights")
        )
        random = np.random.default_rng([task["round"], task["actor"]])
        table = get_object(weights)
        games = [play(table, 0.1, random) for _ in range(GAMES)]
        delta = {"round": task["round"], "actor": task["actor"], "moves": np.concatenate(games)}
        patch_object(buffer, delta)
        return json.dumps([int(game[:, 2].sum()) for game in games]).encode()


if __name__ == "__main__":
    run(Actor())
