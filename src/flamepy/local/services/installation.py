"""Packages of applications: installed before their first service, once for each package.

An application with a ``url`` and an ``installer`` gets a folder of its own below the cluster's:
``src`` has the package, ``deps`` what was installed; nothing is added to the cluster's own Python.
A program in a process of its own does it (``flamepy.runner.install``), for a bounded time. Services
that need the same package wait for one installation; one that failed is tried again by the next.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flamepy.local.background import in_thread
from flamepy.local.services.builtin import python_of
from flamepy.local.services.child import Child, Command
from flamepy.local.services.instance import INSTALL_FAILED, BindFailure
from flamepy.local.services.logfiles import tail
from flamepy.local.services.reaper import Reaper
from flamepy.texts import text_of
from flamepy.types import Application

PROGRAM = ("-m", "flamepy.runner.install")
INSTALL_TIMEOUT = 600.0  # seconds


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a package is, for the environment of its services."""

    folder: Path
    is_binary: bool

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that a service gets, ours before what it already has."""
        source, deps = self.folder / "src", self.folder / "deps"
        if self.is_binary:
            paths = {"PATH": (source / "bin", source), "LD_LIBRARY_PATH": (source / "lib",)}
            more = {"FLAME_APP_DIR": str(source)}
        else:
            paths = {"PYTHONPATH": (deps, source), "PATH": (deps / "bin",)}
            more = {"FLAME_PYTHON_VERSION": "{}.{}".format(*sys.version_info)}
        for name, ours in paths.items():
            theirs = [environ[name]] if environ.get(name) else []
            more[name] = os.pathsep.join([*map(str, ours), *theirs])
        return more


class Installations:
    """The packages of one cluster; for its loop.

    Args:
        folder: gets a folder for each package.
        reaper: ends an installer if this process is killed.
        environ: of the installers.
        timeout: seconds for one installation.
    """

    def __init__(
        self,
        folder: Path,
        *,
        reaper: Reaper,
        environ: Mapping[str, str],
        timeout: float = INSTALL_TIMEOUT,
    ) -> None:
        self._folder = folder
        self._reaper = reaper
        self._environ = environ
        self._timeout = timeout
        self._known: dict[str, asyncio.Task[Installed]] = {}

    async def install(self, application: Application) -> Installed | None:
        """Return where an application's package is; None if it has no package.

        Raises:
            BindFailure: 10, it cannot be installed; with the end of the installer's output.
        """
        if not application.installer or not application.url:
            return None
        key = _key(application)
        task = self._known.get(key)
        if task is None or _has_failed(task):
            task = asyncio.ensure_future(self._install(key, application))
            task.add_done_callback(_has_failed)  # whether anybody still waits or not
            self._known[key] = task
        return await asyncio.shield(task)

    async def _install(self, key: str, application: Application) -> Installed:
        folder = self._folder / key
        log = self._folder / f"{key}.log"
        command = Command(
            (
                python_of(application.environments or {}),
                *PROGRAM,
                application.url or "",
                application.installer or "",
                str(folder),
            ),
            {**self._environ, **(application.environments or {})},
            folder,
            log,
            log,
        )
        starting = in_thread("flamepy-process-start", lambda: _begin(command, folder))
        try:
            child = await asyncio.shield(starting)
        except OSError as error:
            raise _failed(f"the installer cannot be started: {text_of(error)}") from error
        except asyncio.CancelledError:  # the cluster stops: a process may come of it all the same
            await _end(await starting)
            raise
        self._reaper.add(child.pid)
        try:
            await asyncio.wait_for(child.wait(), self._timeout)
        except asyncio.TimeoutError as error:
            raise _failed(
                f"{application.url} was not installed within {self._timeout:g} s{_end_of(log)}"
            ) from error
        finally:
            await _end(child)
            self._reaper.discard(child.pid)
        if child.returncode != 0:
            raise _failed(f"{application.url} cannot be installed{_end_of(log)}")
        return Installed(folder, (application.installer or "").lower() == "binary")


async def _end(child: Child) -> None:
    child.signal_group(signal.SIGKILL)
    if not child.over:
        await child.wait()


def _begin(command: Command, folder: Path) -> Child:
    shutil.rmtree(folder, ignore_errors=True)  # of one that failed
    folder.mkdir(parents=True)
    command.stdout.unlink(missing_ok=True)
    return Child(command)


def _key(application: Application) -> str:
    """Return what names an installation: another registration or another file is another one."""
    version = (application.environments or {}).get("FLAME_PYTHON_VERSION", "")
    parts = [
        application.name,
        application.installer or "",
        application.url or "",
        version,
        application.creation_time.isoformat(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _has_failed(task: asyncio.Task[Installed]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _end_of(log: Path) -> str:
    text = tail(log)
    return f"; the end of the installer's output: {text}" if text else ""


def _failed(text: str) -> BindFailure:
    return BindFailure(INSTALL_FAILED, f"failed to install application package: {text}")
