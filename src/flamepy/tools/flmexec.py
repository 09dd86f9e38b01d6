"""``python -m flamepy.tools.flmexec``: the embedded cluster's service of the application flmexec.

Runs scripts in Python and shell. As an engine's service it answers with what a script wrote; beside
that with its exit code and its stderr, it ends the script's standard input, and it takes a timeout.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from flamepy.core.service import FlameService, TaskContext, run

SHELLS = ("sh", "bash", "zsh", "csh", "tcsh", "ksh", "fish")
SHELL_FOLDERS = ("/bin", "/usr/bin")
STDERR_LIMIT = 64 << 10  # bytes of the end of stderr in an answer
ANSWER_LIMIT = (4 << 20) - (64 << 10)  # bytes of JSON; a message with them holds 4 MiB
METADATA = re.compile(r"(?m)^# /// script$")  # of a script that lists dependencies (PEP 723)
OWN_VERSION = "{}.{}".format(*sys.version_info)


class ScriptService(FlameService):
    """Input: JSON with ``language``, ``code``, and perhaps ``input``, ``runtime``, ``timeout``."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        """Run a script; return JSON with ``data``, ``exit_code`` and ``stderr``.

        Raises:
            ValueError: the request is not understood, the runtime is not there, or the script
                wrote more than an answer holds.
            TimeoutError: the script did not end in time; it was killed.
        """
        request = _request(context.input)
        with tempfile.TemporaryDirectory(prefix="flame-script-") as folder:
            status, out, err = _run(_command(request, Path(folder)), request, folder)
        return _answer(status, out, err)


def _answer(status: int, out: bytes, err: bytes) -> bytes:
    answer = {"data": list(out), "exit_code": status, "stderr": list(err[-STDERR_LIMIT:])}
    data = json.dumps(answer, separators=(",", ":")).encode()
    if len(data) > ANSWER_LIMIT:
        raise ValueError(
            f"the script ended with exit code {status}, but wrote {len(out)} bytes to its standard "
            f"output, which are {len(data)} bytes of an answer; an answer holds {ANSWER_LIMIT}: "
            "write less, or have the script store the data (flamepy.core.put_object) and write "
            "the key"
        )
    return data


def _request(data: bytes | None) -> dict[str, Any]:
    if not data:
        raise ValueError("the task has no input: it must be JSON with language and code")
    found = json.loads(data)
    if not isinstance(found, dict) or not isinstance(found.get("code"), str):
        raise ValueError("the input must be a JSON object with the texts language and code")
    return found


def _command(request: dict[str, Any], folder: Path) -> list[str]:
    language = request.get("language")
    runtime = request.get("runtime")
    if language == "python":
        script = folder / "main.py"
        script.write_text(request["code"])
        return [*_python(runtime, request["code"]), str(script)]
    if language == "shell":
        script = folder / "main.sh"
        script.write_text(request["code"])
        return [_shell(runtime or "bash"), str(script)]
    raise ValueError(f"Unsupported language: {language}")


def _python(version: str | None, code: str) -> list[str]:
    """Return what runs a script: this Python, else uv, which finds others and dependencies."""
    uv = shutil.which("uv")
    if METADATA.search(code):
        if uv is None:
            raise ValueError(
                "the script lists dependencies (PEP 723), which needs uv: install uv where the "
                "cluster runs"
            )
        return [uv, "run", "--python", version or OWN_VERSION]
    if version in (None, "", "latest", OWN_VERSION):
        return [sys.executable]
    found = shutil.which(f"python{version}")
    if found is not None:
        return [found]
    if uv is not None:
        return [uv, "run", "--no-project", "--python", str(version)]
    raise ValueError(
        f"there is no python{version} where the cluster runs, which has {OWN_VERSION}: install it, "
        "or leave out runtime"
    )


def _shell(runtime: str) -> str:
    name = runtime.rsplit("/", 1)[-1]
    folder = runtime[: -len(name) - 1] if "/" in runtime else ""
    if name not in SHELLS or (folder and folder not in SHELL_FOLDERS):
        raise ValueError(f"Unsupported shell runtime: {runtime}")
    found = shutil.which(runtime)
    if found is None:
        raise ValueError(f"the shell {runtime} is not installed where the cluster runs")
    return found


def _run(command: list[str], request: dict[str, Any], folder: str) -> tuple[int, bytes, bytes]:
    given = request.get("input")
    timeout = request.get("timeout")
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(bytes(given or ()), timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(
            f"the script did not end within {timeout:g} s (timeout); it was killed"
        ) from error
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its children that are left, or itself
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()
    sys.stderr.buffer.write(err)
    return process.returncode, out, err


if __name__ == "__main__":
    run(ScriptService())
