"""Compare this library with the official SDK while ``flamepy up --data`` is killed again and again.

Prints JSON: of 3,000 tasks submitted within ten seconds, with three kills at the same moments, how
many results are right, how many futures fail, never end or are refused, what is in the engine
twice, the longest call; how many seconds after the engine's return a call is answered, behind
outages of 1, 10 and 60 s that both share; and what the retry layer costs a call that succeeds.
``make soak`` runs it, ``python benchmarks/outage.py`` alone takes about three minutes.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

from compare import SERVICE, official

from flamepy.core import connect
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.retrier import Retrier
from flamepy.types import RetryPolicy

TASKS, SECONDS, KILLS = 3000, 10.0, 3
AWAY = 0.5  # seconds of each kill, beside the start
UNFINISHED = 60.0  # seconds after which a future that has not ended counts as one that never will
OUTAGES = (1.0, 10.0, 60.0)
ROUNDS, CALLS = 20, 2000
SUBMIT = """
import json, os, sys, threading, time
from concurrent.futures import wait
from flamepy.core import create_session

tasks, seconds, unfinished = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
session = create_session("app")
print(session.id, flush=True)
guard, numbers, futures = threading.Lock(), iter(range(tasks)), {}
refused, longest, start = 0, 0.0, time.monotonic()

def work():
    global refused, longest
    while True:
        with guard:
            number = next(numbers, None)
        if number is None:
            return
        time.sleep(max(0.0, start + number * seconds / tasks - time.monotonic()))
        began = time.monotonic()
        try:
            futures[number] = session.run(b"echo %d" % number)
        except Exception:
            with guard:
                refused += 1
        with guard:
            longest = max(longest, time.monotonic() - began)

threads = [threading.Thread(target=work) for _ in range(6)]
for one in threads:
    one.start()
for one in threads:
    one.join()
left = wait(futures.values(), timeout=unfinished).not_done
ended = {number: one for number, one in futures.items() if one not in left}
errors = sum(one.exception() is not None for one in ended.values())
right = sum(
    one.exception() is None and one.result() == b"%d" % number for number, one in ended.items()
)
print(json.dumps({
    "right": right, "errors": errors, "unfinished": len(left), "refused": refused,
    "longest_call": round(longest, 2), "seconds": round(time.monotonic() - start, 1),
}), flush=True)
os._exit(0)
"""
RETURN = """
import os, sys, time
from flamepy.core import create_session, get_session

session = create_session("app")
print("ready", flush=True)
for line in sys.stdin:
    while True:
        try:
            get_session(session.id)
            break
        except Exception:
            time.sleep(0.02)
    print(time.time(), flush=True)
os._exit(0)
"""


class Engine:
    """A ``flamepy up --data`` that can be killed and comes back at its port."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._manifest = folder / "app.yaml"
        self._manifest.write_text(
            f"metadata: {{name: app}}\n"
            f"spec: {{command: {sys.executable}, arguments: [{SERVICE}]}}\n"
        )
        self._data = folder / "data"
        self._port = 0
        self.endpoint = ""

    def start(self) -> None:
        """Return when it is ready."""
        command = [sys.executable, "-m", "flamepy", "up", "--port", str(self._port), "--quiet"]
        command += ["--app", str(self._manifest), "--executors", "2", "--data", str(self._data)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().removeprefix("ready: ").strip()
        self._port = int(self.endpoint.rpartition(":")[2])

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate()


class Client:
    """A program on one of the two libraries, beside an engine."""

    def __init__(self, python: str, program: str, engine: Engine, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [python, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                "FLAME_ENDPOINT": engine.endpoint,
                "PATH": "/usr/bin:/bin",
                "HOME": "/nonexistent",
            },
        )

    def read(self) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Measure and print."""
    pythons = {"ours": sys.executable, "official": official()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: dict[str, object] = {
            f"{TASKS} tasks, {KILLS} kills": {
                who: submit(python, folder / who) for who, python in pythons.items()
            },
            "seconds from the engine's return to an answer": back(pythons, folder / "back"),
            "retry layer": layer(folder / "layer"),
        }
    print(json.dumps(found, indent=2))


def submit(python: str, folder: Path) -> dict[str, object]:
    """Submit tasks while the engine is killed at the same moments; return the counts."""
    with Engine(folder) as engine:
        client = Client(python, SUBMIT, engine, TASKS, SECONDS, UNFINISHED)
        session = client.read()
        start = time.monotonic()
        for number in range(KILLS):
            moment = start + (number + 1) * SECONDS / (KILLS + 1)
            threading.Event().wait(max(0.0, moment - time.monotonic()))
            engine.kill()
            threading.Event().wait(AWAY)
            engine.start()
        counts: dict[str, object] = json.loads(client.read())
        client.end()
        with connect(engine.endpoint) as connection:
            inputs = Counter(task.input for task in connection.get_session(session).list_tasks())
        return {**counts, "twice_in_the_engine": sum(inputs.values()) - len(inputs)}


def back(pythons: dict[str, str], folder: Path) -> dict[str, dict[str, float]]:
    """Return how long after the engine's return each is answered, by the outage's length."""
    found: dict[str, dict[str, float]] = {}
    with Engine(folder) as engine:
        clients = {who: Client(python, RETURN, engine) for who, python in pythons.items()}
        for one in clients.values():
            one.read()
        for outage in OUTAGES:
            engine.kill()
            for one in clients.values():
                one.say("go")
            threading.Event().wait(outage)
            engine.start()
            ready = time.time()
            found[f"{outage:g} s"] = {
                who: round(max(0.0, float(one.read()) - ready), 2) for who, one in clients.items()
            }
        for one in clients.values():
            one.end()
    return found


def layer(folder: Path) -> dict[str, float]:
    """Return what the retry layer costs a call that succeeds, and beside an ``invoke``."""
    spent = []
    with (
        Engine(folder) as engine,
        connect(engine.endpoint) as connection,
        connection.create_session("app") as session,
    ):
        session.invoke(b"echo x")
        for _ in range(300):
            start = time.perf_counter()
            session.invoke(b"echo x")
            spent.append(time.perf_counter() - start)
    cost, invoke = asyncio.run(_layer()), statistics.median(spent)
    return {
        "us_per_call": round(cost * 1e6, 2),
        "invoke_us": round(invoke * 1e6),
        "percent_of_an_invoke": round(100 * cost / invoke, 2),
    }


async def _layer() -> float:
    retrier, terms = Retrier(RetryPolicy()), Terms(RetryPolicy(), 120.0, None)

    async def attempt(left: float) -> int:
        return 1

    async def through() -> None:
        for _ in range(CALLS):
            await retrier.run("GetTask", terms, attempt)

    async def bare() -> None:
        for _ in range(CALLS):
            await attempt(1.0)

    async def timed(act: Callable[[], Awaitable[None]]) -> float:
        start = time.perf_counter()
        await act()
        return (time.perf_counter() - start) / CALLS

    return statistics.median([await timed(through) - await timed(bare) for _ in range(ROUNDS)])


if __name__ == "__main__":
    main()
