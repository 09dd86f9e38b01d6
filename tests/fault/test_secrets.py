"""What must not be seen or touched by others: passwords in URLs, sockets, data, the port.

No engine takes a user or a password, so a URL that has one is refused, and what refuses it shows
``***`` in its place.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from support.guarded_engine import GuardedEngine

from flamepy import aio
from flamepy.cli.verbs.doctor import examine
from flamepy.config import FlameContext, FlamePackage
from flamepy.config.endpoint import without_passwords
from flamepy.core import connect
from flamepy.errors import ConfigError, FlameError
from flamepy.informers import Reactor
from flamepy.local import LocalCluster
from flamepy.local.storage.folder import DataFolder
from flamepy.rpc.link import Link

CANARY = "canary-77"
URLS = [
    f"http://me:{CANARY}@127.0.0.1:1",
    f"https://{CANARY}@127.0.0.1:1",
    f"me:{CANARY}@127.0.0.1",
    f"http://me:{CANARY}/x@127.0.0.1:1",
    f"http://me:{CANARY}@x@127.0.0.1:1",
    f"ftp://me:{CANARY}@127.0.0.1",
    f"http://me:{CANARY}@127.0.0.1:no-port",
]


def told(act: Callable[[], object]) -> str:
    """Return everything that a ConfigError would show, its causes and context included."""
    with pytest.raises(ConfigError) as caught:
        act()
    error = caught.value
    lines = traceback.format_exception(error)
    # Lines of this file have the URL; what is told are the errors themselves.
    shown = "".join(one for one in lines if not one.startswith("  File"))
    assert error.message in shown
    return f"{error!r} {error} {shown} {vars(error)}"


def from_file(folder: Path, text: str) -> Callable[[], object]:
    path = folder / "flame.yaml"
    path.write_text(text)
    return lambda: FlameContext(config_file=path, environ={})


class TestPasswords:
    @pytest.mark.parametrize("url", URLS)
    def test_an_endpoint_with_one_is_refused_and_does_not_show_it(
        self, url: str, tmp_path: Path
    ) -> None:
        ways = [
            lambda: FlameContext(url, environ={}),
            lambda: FlameContext(environ={"FLAME_ENDPOINT": url}),
            lambda: connect(url),
            lambda: Reactor(endpoint=url),
            from_file(
                tmp_path,
                f"current-context: a\ncontexts: [{{name: a, cluster: {{endpoint: '{url}'}}}}]\n",
            ),
        ]
        for way in ways:
            text = told(way)
            assert CANARY not in text
            assert "user or password" in text

    def test_nor_is_one_of_the_cache_or_of_packages(self) -> None:
        url = f"grpc://me:{CANARY}@127.0.0.1:1"
        for way in (
            lambda: FlameContext(cache_endpoint=url, environ={}),
            lambda: FlameContext(environ={"FLAME_CACHE_ENDPOINT": url}),
            lambda: FlameContext(environ={"FLAME_CACHE_STORAGE": url}),
            lambda: FlameContext(package=FlamePackage(url), environ={}),
        ):
            text = told(way)
            assert CANARY not in text
            assert "***" in text
        kept = FlameContext(package=FlamePackage("file:///packages@2"), environ={})
        assert kept.package == FlamePackage("file:///packages@2")

    @pytest.mark.parametrize(
        "text",
        [
            "contexts: http://me:{0}@h",
            "current-context: a\ncontexts: [{{name: a, cluster: 'http://me:{0}@h'}}]",
            "current-context: a\ncontexts: [{{name: a, cluster: {{endpoint: ['me:{0}@h']}}}}]",
            "current-context: a\ncontexts: [{{name: a, informers: {{x: 'http://me:{0}@h'}}}}]",
            'current-context: a\ncontexts:\n - name: a\n   cluster:\n     endpoint: "http://me:{0}@h',
            "current-context: a\ncontexts:\n - endpoint: http://me:{0}@h\n  broken",
            "[http://me:{0}@h",
        ],
    )
    def test_a_broken_file_does_not_show_its_lines(self, text: str, tmp_path: Path) -> None:
        shown = told(from_file(tmp_path, text.format(CANARY)))
        assert CANARY not in shown
        assert "flame.yaml" in shown

    @pytest.mark.parametrize("command", [["doctor"], ["sessions"], ["nodes"], ["run"], ["watch"]])
    def test_no_command_shows_one(self, command: list[str], tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "flamepy", *command, "--endpoint", URLS[0]],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        assert done.returncode != 0
        assert "***" in done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr

    def test_the_doctor_and_the_log_do_not(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("FLAME_ENDPOINT", URLS[0])

        async def run() -> str:
            return "".join([str(one) async for one in examine(None, 1.0)])

        with caplog.at_level(logging.DEBUG):
            found = asyncio.run(run())
        assert "***" in found
        assert CANARY not in found + caplog.text

    def test_a_texts_urls_lose_theirs_and_nothing_else(self) -> None:
        for url in URLS:
            assert CANARY not in without_passwords(f"got {{'a': '{url}', 'b': 1}}, {url}")
        same = "at 12:30: http://h:1/x, a@example.org wrote key: value"
        assert without_passwords(same) == same


FILE = """
current-context: a
contexts:
- name: a
  cluster:
    endpoint: {endpoint}
    token: "${{TEAM_TOKEN}}"
    metadata: {{x-key: "key-${{TEAM_TOKEN}}"}}
"""


class TestCredentials:
    """A token and metadata go to the engine, and nowhere else."""

    def test_what_holds_them_shows_and_pickles_none(self, tmp_path: Path) -> None:
        path = tmp_path / "flame.yaml"
        path.write_text(FILE.format(endpoint="http://127.0.0.1:1"))
        context = FlameContext(config_file=path, environ={"TEAM_TOKEN": CANARY})
        assert context.sources["token"] == f"{path}: contexts[a].cluster.token"
        link = Link(context)
        shown = f"{context!r} {context.sources} {context.call_options!r} {link!r}"
        shown += f"{aio.Connection(link)!r} {FlameContext('h:1', token=CANARY, environ={})!r}"
        assert CANARY not in shown
        assert CANARY.encode() not in pickle.dumps(context) + pickle.dumps(context.call_options)

    @pytest.mark.parametrize(
        "cluster",
        [
            "{{token: ['{0}']}}",
            "{{token: 'x {0}'}}",
            "{{token: {{a: '{0}'}}}}",
            "{{metadata: '{0}'}}",
            "{{metadata: ['{0}']}}",
            "{{metadata: {{X-Key: '{0}'}}}}",
            "{{metadata: {{grpc-x: '{0}'}}}}",
            "{{metadata: {{x-key: ' {0}'}}}}",
            "{{metadata: {{x-key: ['{0}']}}}}",
            "{{metadata: {{x-bin: '{0}'}}}}",
            "{{token: '{0}${{NOT_THERE}}'}}",
            "{{token: '{0}', metadata: {{authorization: '{0}'}}}}",
        ],
    )
    def test_a_file_that_breaks_a_rule_does_not_show_them(
        self, cluster: str, tmp_path: Path
    ) -> None:
        text = f"current-context: a\ncontexts: [{{name: a, cluster: {cluster.format(CANARY)}}}]"
        assert CANARY not in told(from_file(tmp_path, text))

    @pytest.mark.parametrize("engine", ["away", "refuses", "answers"])
    def test_calls_log_and_raise_none(
        self, engine: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        found = ""
        with GuardedEngine() as guarded, caplog.at_level(logging.DEBUG):
            guarded.token = "another" if engine == "refuses" else None
            endpoint = "http://127.0.0.1:1" if engine == "away" else guarded.endpoint
            metadata = {"x-key": CANARY, "x-key-bin": CANARY.encode()}
            for token in (CANARY, lambda: CANARY):
                try:
                    with connect(endpoint, metadata=metadata, token=token, timeout=0.2) as made:
                        found += f"{made!r} {made.link!r} {made.stats()}"
                        list(made.get_session("s").list_tasks())
                        made.get_node("n")
                except FlameError as error:
                    found += "".join(traceback.format_exception(error)) + f"{vars(error)}"
        assert found
        assert CANARY not in found + caplog.text + "".join(capfd.readouterr())

    @pytest.mark.parametrize("engine", ["away", "refuses", "answers"])
    def test_no_command_shows_them(self, engine: str, tmp_path: Path) -> None:
        with GuardedEngine() as guarded:
            guarded.token = "another" if engine == "refuses" else CANARY
            endpoint = "http://127.0.0.1:1" if engine == "away" else guarded.endpoint
            path = tmp_path / "flame.yaml"
            path.write_text(FILE.format(endpoint=endpoint))
            for command in (["doctor"], ["nodes"]):
                done = subprocess.run(
                    [sys.executable, "-m", "flamepy", *command],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                    env={**os.environ, "FLAME_CONFIG": str(path), "TEAM_TOKEN": CANARY},
                )
                assert CANARY not in done.stdout + done.stderr
            sent = [metadata.get("authorization") for _, metadata in guarded.seen]
            assert set(sent) <= {f"Bearer {CANARY}"}, "every call carries it"
            assert bool(sent) == (engine != "away")

    def test_a_token_that_leaves_the_machine_in_plain_text_is_warned_of(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        for url, warned in (
            ("http://flame.example.org:1", True),
            ("https://flame.example.org:1", False),
            ("http://127.0.0.1:1", False),
        ):
            caplog.clear()
            Link(FlameContext(url, token=CANARY, environ={}))
            assert ("without encryption" in caplog.text) == warned
            assert CANARY not in caplog.text


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestFolders:
    def test_data_and_sockets_are_for_this_user_alone(self, tmp_path: Path) -> None:
        """Whatever the umask says."""
        before = os.umask(0)
        try:
            with LocalCluster(data=tmp_path / "data") as cluster:
                assert mode(tmp_path / "data") == 0o700
                files = list((tmp_path / "data").iterdir())
                assert {"flame.db", "lock"} <= {one.name for one in files}
                wanted = {one: 0o700 if one.is_dir() else 0o600 for one in files}
                assert {one: mode(one) for one in files} == wanted
                assert cluster._life.folders.work is not None
                assert mode(cluster._life.folders.work) == 0o700
        finally:
            os.umask(before)

    @pytest.mark.parametrize("number", [0o777, 0o1777, 0o770, 0o702])
    def test_a_folder_that_others_may_write_to_is_refused(
        self, tmp_path: Path, number: int
    ) -> None:
        tmp_path.chmod(number)
        with pytest.raises(ConfigError, match=rf"mode {number:04o}.*chmod 700"):
            LocalCluster(data=tmp_path).start()
        assert not list(tmp_path.iterdir())

    def test_a_folder_of_somebody_else_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = os.geteuid() + 1
        monkeypatch.setattr("os.geteuid", lambda: other)
        with pytest.raises(ConfigError, match="belongs to another user"):
            DataFolder(tmp_path).acquire()
        assert not list(tmp_path.iterdir())

    def test_one_that_others_may_list_is_warned_of(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        tmp_path.chmod(0o755)
        folder = DataFolder(tmp_path)
        folder.acquire()
        folder.release()
        assert "chmod 700" in caplog.text


class TestListening:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_loopback_is_silent(self, host: str, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING), LocalCluster(host=host):
            assert caplog.text == ""

    def test_anything_else_is_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING), LocalCluster(host="0.0.0.0"):
            assert "can run commands as this user" in caplog.text
