"""An installer that a stop cuts at its start is ended, and does not work on behind the cluster."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.local.services import installation
from flamepy.local.services.installation import Installations
from flamepy.local.state.applications import default_set


class NoReaper:
    def add(self, pid: int) -> None:
        """Nothing is killed here."""

    def discard(self, pid: int) -> None:
        """As above."""


def test_a_stop_while_it_is_started_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    go_on, asked = threading.Event(), threading.Event()
    begin = installation._begin

    def slowly(*arguments: Any) -> Any:
        asked.set()
        go_on.wait(30)
        begun.append(begin(*arguments))
        return begun[0]

    monkeypatch.setattr(installation, "_begin", slowly)
    monkeypatch.setattr(installation, "PROGRAM", ("-c", "import time; time.sleep(60)"))
    application = next(one for one in default_set(0) if one.name == "flmrun")
    application = replace(application, url="file:///x.tar.gz")

    async def go() -> None:
        found = Installations(tmp_path, reaper=NoReaper(), environ=dict(os.environ))  # type: ignore[arg-type]
        waiting = asyncio.ensure_future(found._install("key", application))
        while not asked.is_set():
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(0.01)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(go())
    eventually(lambda: begun[0].over, "the end of the installer")
