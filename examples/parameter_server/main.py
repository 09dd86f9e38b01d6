"""A parameter server: an object keeps the weights, functions compute gradients side by side."""

import os
from pathlib import Path

import numpy as np

from flamepy.local import LocalCluster
from flamepy.runner import Runner


class Server:
    """Weights of a linear model; its state is kept between calls."""

    def __init__(self, size: int) -> None:
        self.weights = np.zeros(size)

    def get(self) -> np.ndarray:
        return self.weights

    def apply(self, gradient: np.ndarray) -> np.ndarray:
        self.weights = self.weights - 0.1 * gradient
        return self.weights


def gradient(weights: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(200, 3))
    return 2 * inputs.T @ (inputs @ weights - inputs @ np.array([1.0, -2.0, 3.0])) / 200


def main() -> None:
    with Runner("parameters") as runner:
        server = runner.service(Server(3))
        workers = runner.service(gradient)
        weights = server.get()
        for step in range(10):
            gradients = [workers(weights, 2 * step + worker) for worker in range(2)]
            for one in gradients:
                weights = server.apply(one)
        print("weights", np.round(weights.get(), 0).tolist())


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)  # a runner packs the working directory
    with LocalCluster(executors=4) as cluster:
        os.environ["FLAME_ENDPOINT"] = cluster.endpoint
        os.environ["FLAME_CACHE_ENDPOINT"] = cluster.cache_endpoint or ""
        main()
