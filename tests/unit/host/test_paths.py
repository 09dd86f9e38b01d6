"""Paths without a home folder or a working folder say what is missing."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from flamepy.config import FlameClientTls, FlameContext
from flamepy.errors import ConfigError, FlameError, InvalidArgumentError
from flamepy.host.paths import absolute, expanded
from flamepy.informers.arguments import check_checkpoint
from flamepy.local import ClusterTls
from flamepy.local.storage.folder import DataFolder
from flamepy.rpc.transport.tls import credentials


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user: object) -> object:
        raise KeyError(f"not found: {user}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


@pytest.fixture
def no_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()


def test_a_home_is_put_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    assert absolute("~/a") == tmp_path / "a"
    assert absolute("a") == Path.cwd() / "a"


USES: list[tuple[type[FlameError], Callable[[str], object]]] = [
    (InvalidArgumentError, check_checkpoint),
    (ConfigError, DataFolder),
    (ConfigError, lambda path: FlameContext(config_file=path)),
    (ConfigError, lambda path: credentials(FlameClientTls(ca_file=path))),
    (ConfigError, lambda path: ClusterTls(path, path).credentials()),
]


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize(("kind", "use"), USES)
def test_without_a_home_a_path_that_needs_it_is_refused_with_the_way_out(
    kind: type[FlameError], use: Callable[[str], object]
) -> None:
    with pytest.raises(kind, match=r"~/f.*set HOME"):
        use("~/f")


@pytest.mark.usefixtures("no_working_folder")
def test_without_a_working_folder_whole_paths_work_and_others_say_why(tmp_path: Path) -> None:
    assert absolute(tmp_path) == tmp_path
    assert check_checkpoint(str(tmp_path / "f")) == tmp_path / "f"
    for kind, use in USES[:2]:
        with pytest.raises(kind, match=r"'f'.*working folder was removed"):
            use("f")
    assert FlameContext(environ=os.environ, endpoint="http://a:1").endpoint == "http://a:1"
