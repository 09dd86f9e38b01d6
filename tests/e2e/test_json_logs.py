"""``--log-format json``: each line of standard error is one JSON object, whatever writes there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.testing import FakeEngine

FLAMEPY = [str(Path(sys.executable).parent / "flamepy")]
NOISY = """
import asyncio, gc, logging, os, subprocess, sys, threading, warnings
from flamepy.core import TaskInformer

class Unraisable:
    def __del__(self):
        raise RuntimeError("in a finalizer")

def fail():
    raise LookupError("in a thread")

async def forgotten():
    async def lost():
        raise KeyError("of a task")
    task = asyncio.ensure_future(lost())
    await asyncio.sleep(0)
    del task

class Noisy(TaskInformer):
    def on_synced(self):
        warnings.warn("two\\nlines")
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        Unraisable()
        gc.collect()
        asyncio.run(forgotten())
        gc.collect()
        print("printed\\nonce more", file=sys.stderr)
        os.write(2, b"by number \\xff\\xed\\xa0\\x80")
        os.write(2, b" and its end\\n")
        os.write(2, b"x" * 200_000 + b"\\n")
        subprocess.run("echo by a child >&2", shell=True, check=True)
        logging.getLogger("theirs").warning("%d", "no number")
        logging.getLogger("theirs").warning("odd", extra={"flame": {"a": float("nan"), "b": {1}}})
        logging.getLogger("theirs").error("half \\ud800")
        sys.stdout.write("done\\n")
        sys.stdout.flush()
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FLAME_")}
    return {**plain, "HOME": str(folder), **more}


def read(log: Path) -> list[dict[str, Any]]:
    """Return the lines, after checking that each is an object of JSON with what every one has."""

    def never(name: str) -> None:
        raise AssertionError(f"JSON has no {name}")

    lines = [json.loads(one, parse_constant=never) for one in log.read_bytes().splitlines()]
    assert all({"time", "level", "logger", "message"} <= one.keys() for one in lines)
    return lines


def test_whatever_a_plugin_and_its_libraries_print(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NOISY)
    log = tmp_path / "log"
    options = ["run", "--informer", "mine:Noisy", "--log-format", "json"]
    with (
        FakeEngine() as engine,
        log.open("wb") as errors,
        subprocess.Popen(
            [*FLAMEPY, *options, "--endpoint", engine.endpoint],
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=tmp_path,
            env=environment(tmp_path),
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    lines = read(log)
    by_logger = {(one["logger"], one["message"]) for one in lines}
    for expected in ("printed", "once more", "by a child"):
        assert ("stderr", expected) in by_logger
    assert ("stderr", "by number \\xff\\xed\\xa0\\x80 and its end") in by_logger
    whole = {one["logger"]: one for one in lines}
    assert "two\nlines" in whole["py.warnings"]["message"]
    told = [one["exception"] for one in lines if "exception" in one]
    for text in ("in a thread", "in a finalizer", "of a task"):
        assert any(one.splitlines()[-1].endswith((text, f"{text!r}")) for one in told), text
    assert any(one["message"].count("x") > 60_000 for one in lines)
    assert any("could not be made: TypeError" in one["message"] for one in lines)
    assert any(one["message"] == "odd" for one in lines)


def test_what_grpcs_core_prints(tmp_path: Path) -> None:
    log = tmp_path / "log"
    noisy = {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "http,api"}
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*FLAMEPY, "up", "--port", "0", "--cache-port", "0", "--log-format", "json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(tmp_path, **noisy),
        ) as process,
    ):
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[1].decode()
        command = [*FLAMEPY, "sessions", "--endpoint", endpoint]
        subprocess.run(command, check=True, capture_output=True, env=environment(tmp_path))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [one for one in read(log) if one["logger"] == "stderr"], "gRPC printed nothing"


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["up", "--host", "no.such.host.invalid"], 1, "no.such.host.invalid"),
        (["run", "--plugin", "nothing"], 2, "nothing"),
    ],
)
def test_the_error_that_ends_it(tmp_path: Path, options: list[str], status: int, says: str) -> None:
    log = tmp_path / "log"
    with log.open("wb") as errors:
        done = subprocess.run(
            [*FLAMEPY, *options, "--log-format", "json"],
            stderr=errors,
            stdout=subprocess.DEVNULL,
            cwd=tmp_path,
            env=environment(tmp_path),
            timeout=60,
            check=False,
        )
    assert done.returncode == status
    assert says in read(log)[-1]["message"]


def test_nobody_has_to_read_it(tmp_path: Path) -> None:
    """A full pipe holds up neither what prints nor the end."""
    (tmp_path / "mine.py").write_text(NOISY.replace("200_000", "2_000_000"))
    options = ["run", "--informer", "mine:Noisy", "--log-format", "json"]
    with (
        FakeEngine() as engine,
        subprocess.Popen(
            [*FLAMEPY, *options, "--endpoint", engine.endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment(tmp_path),
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        process.send_signal(signal.SIGTERM)
        eventually(lambda: process.poll() is not None, "its end")
        assert process.returncode == 0
        process.communicate()
