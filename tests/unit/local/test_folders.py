"""Temporary folders: sockets have short plain paths, whatever TMPDIR is."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flamepy.core import connect
from flamepy.errors import ConfigError
from flamepy.host.addresses import SOCKET_PATH_LIMIT
from flamepy.local import LocalCluster, folders
from flamepy.local.folders import make_folders
from flamepy.types import ApplicationAttributes

SERVICE = str(Path(__file__).parents[2] / "support" / "recorded_service.py")
ODD = ["a%2Fb", "a#1", "what?", "a,b", "a b", "caf\u00e9", "a\nb", "a:b", "a\udcff", "$HOME"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder with a short path: the place elsewhere, so that nothing is left in /tmp."""
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as made:
        monkeypatch.setattr(folders, "ELSEWHERE", (made,))
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield Path(made)


@pytest.fixture
def tmpdir(short: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Make the folder that a test's parameter names and let TMPDIR be it."""
    made = short / "base" / request.param
    made.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert tempfile.gettempdir() == str(made)
    return made


LONG = "build/" * 15


@pytest.mark.parametrize("tmpdir", [*ODD, LONG], indirect=True)
def test_sockets_are_elsewhere_where_no_address_can_have_the_path(
    tmpdir: Path, short: Path
) -> None:
    made = make_folders()
    assert made.work.parent == tmpdir
    assert made.sockets.parent == short
    assert stat.S_IMODE(made.sockets.stat().st_mode) == 0o700
    made.remove()
    assert not made.work.exists()
    assert not made.sockets.exists()


@pytest.mark.parametrize("tmpdir", ["plain-1_2.3"], indirect=True)
def test_one_folder_does_where_it_can(tmpdir: Path) -> None:
    made = make_folders()
    assert made.sockets == made.work
    assert made.work.parent == tmpdir
    made.remove()


@pytest.mark.parametrize("tmpdir", ["t"], indirect=True)
def test_a_path_may_be_as_long_as_a_socket_can_have(
    tmpdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest that is taken works, the next one is not taken."""
    for more in range(30, 90):
        deep = tmpdir / ("x" * more)
        deep.mkdir()
        if (reason := folders.why_no_sockets(deep)) is not None:
            break
    size = len(str(deep / folders.NAME))
    assert size == SOCKET_PATH_LIMIT + 1
    assert f"{size} bytes" in reason


@pytest.mark.parametrize("tmpdir", ["job#1"], indirect=True)
def test_a_start_without_any_place_is_refused_with_each_reason(
    tmpdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "ELSEWHERE", ("/no/such", str(tmpdir)))
    with pytest.raises(ConfigError) as caught:
        LocalCluster(cache_port=None).start()
    text = caught.value.message
    assert f"{tmpdir}: no address can have '#'" in text
    assert "/no/such: No such file" in text
    assert "set TMPDIR" in text
    assert not list(tmpdir.iterdir())


def test_a_file_system_without_sockets_is_not_taken(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(folders.socket.socket, "bind", refuse)
    assert folders.why_no_sockets(short) == "no socket can be made there: Operation not permitted"


def test_no_folder_for_temporary_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    with pytest.raises(ConfigError, match=r"No usable temporary directory.*set TMPDIR"):
        LocalCluster(cache_port=None).start()


@pytest.mark.parametrize("tmpdir", ["a%2Fb,c #?", LONG], indirect=True)
def test_services_start_whatever_the_folder_is_called(tmpdir: Path, short: Path) -> None:
    spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
    with (
        LocalCluster(executors=1, apps=[("a", spec)], cache_port=None) as cluster,
        connect(cluster.endpoint) as connection,
        connection.create_session("a") as session,
    ):
        assert session.invoke(b"echo x", timeout=30) == b"x"
        assert os.fsencode(session.invoke(b"cwd", timeout=30) or b"").startswith(
            os.fsencode(tmpdir)
        )
    assert not list(tmpdir.iterdir())
    assert [one.name for one in short.iterdir()] == ["base"]
