"""One installation for each package, tried again after a failure, and ended with its cluster."""

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
from flamepy.local.services.instance import BindFailure
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


COUNTS = """
import os, sys
with open({notes!r}, "a") as notes:
    notes.write("begun\\n")
    notes.flush()
    print("what pip says")
    {then}
"""


def packaged(**changes: Any) -> Any:
    application = next(one for one in default_set(0) if one.name == "flmrun")
    return replace(application, **{"url": "file:///x.tar.gz", **changes})


def program(monkeypatch: pytest.MonkeyPatch, notes: Path, then: str) -> None:
    code = COUNTS.format(notes=str(notes), then=then)
    monkeypatch.setattr(installation, "PROGRAM", ("-c", code))


def installations(folder: Path, timeout: float = 60.0) -> Installations:
    return Installations(folder, reaper=NoReaper(), environ=dict(os.environ), timeout=timeout)  # type: ignore[arg-type]  # it does less


def test_services_that_need_one_package_wait_for_one_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(monkeypatch, tmp_path / "notes", "pass")

    async def go() -> None:
        found, application = installations(tmp_path / "packages"), packaged()
        places = await asyncio.gather(*(found.install(application) for _ in range(5)))
        places.append(await found.install(application))
        assert len({place.folder for place in places if place is not None}) == 1
        other = await found.install(packaged(url="file:///other.tar.gz"))
        assert other is not None
        assert other.folder != places[0].folder  # type: ignore[union-attr]  # it has a package

    asyncio.run(go())
    assert (tmp_path / "notes").read_text() == "begun\n" * 2


def test_a_failed_installation_says_why_and_the_next_service_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = f"sys.exit(not os.path.exists({str(tmp_path / 'repaired')!r}))"
    program(monkeypatch, tmp_path / "notes", then)

    async def go() -> None:
        found, application = installations(tmp_path / "packages"), packaged()
        failed = await asyncio.gather(
            *(found.install(application) for _ in range(3)), return_exceptions=True
        )
        for one in failed:
            assert isinstance(one, BindFailure)
            assert one.return_code == 10
            assert "the end of the installer's output: what pip says" in one.detail
        (tmp_path / "repaired").touch()
        assert await found.install(application) is not None

    asyncio.run(go())
    assert (tmp_path / "notes").read_text() == "begun\n" * 2


def test_an_installation_without_an_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    begin = installation._begin
    monkeypatch.setattr(
        installation, "_begin", lambda *given: begun.append(begin(*given)) or begun[0]
    )
    program(monkeypatch, tmp_path / "notes", "import time; time.sleep(600)")

    async def go() -> None:
        with pytest.raises(BindFailure, match=r"was not installed within 0\.5 s"):
            await installations(tmp_path / "packages", timeout=0.5).install(packaged())

    asyncio.run(go())
    assert begun[0].over


def test_an_application_without_a_package_needs_none(tmp_path: Path) -> None:
    found = installations(tmp_path / "packages")
    for one in (packaged(url=None), packaged(installer=None)):
        assert asyncio.run(found.install(one)) is None
    assert not (tmp_path / "packages").exists()
