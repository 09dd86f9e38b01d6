"""The plugins of this repository, as wheels in an environment where nothing else is.

It is made once, below ``.cache``, and the wheels in it are replaced when their sources change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, Connection, connect
from flamepy.errors import TaskFailedError
from flamepy.local import LocalCluster

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
FOLDER = ROOT / ".cache" / f"plugins-py{sys.version_info.major}{sys.version_info.minor}"
PYTHON = FOLDER / "bin" / "python"
WHEELS = FOLDER / "wheels"

pytestmark = pytest.mark.timeout(400)  # the first test makes the environment


def pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        pytest.fail(f"pip {arguments[0]} failed: {done.stderr[-800:]}")


def requirements_of_tests(plugin: Path) -> list[str]:
    """Return the group "test" of a plugin's dependency groups; Python 3.10 has no TOML reader."""
    text = (plugin / "pyproject.toml").read_text()
    found = re.search(r"^\[dependency-groups\]\ntest = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    return re.findall(r'"([^"]+)"', found.group(1)) if found else []


def fingerprint() -> str:
    """Return a text that changes when anything that the wheels are built from does."""
    seen = hashlib.sha256()
    for folder in (ROOT / "src", *PLUGINS):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                seen.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    seen.update((ROOT / "pyproject.toml").read_bytes())
    return seen.hexdigest()


@pytest.fixture(scope="session")
def python() -> str:
    """Return the Python that has the library and its plugins, all from wheels."""
    stamp = FOLDER / "built-from"
    wanted = fingerprint()
    if not stamp.exists():
        venv.create(FOLDER, with_pip=True, clear=True)
    elif stamp.read_text() == wanted:
        return str(PYTHON)
    for old in WHEELS.glob("*.whl"):
        old.unlink()
    pip("wheel", "--quiet", "--no-deps", "-w", str(WHEELS), str(ROOT), *map(str, PLUGINS))
    wheels = [str(path) for path in WHEELS.glob("*.whl")]
    assert len(wheels) == 1 + len(PLUGINS)
    library = next(path for path in wheels if "flamepy_informers" in path)
    wanted_by_tests = [one for plugin in PLUGINS for one in requirements_of_tests(plugin)]
    pip("install", "--quiet", f"{library}[cli]", *wheels, "pytest", *wanted_by_tests)
    pip("install", "--quiet", "--force-reinstall", "--no-deps", *wheels)
    stamp.write_text(wanted)
    return str(PYTHON)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_its_own_tests_pass_with_the_wheel(python: str, plugin: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-m", "pytest", "-q", str(plugin)],
        capture_output=True,
        text=True,
        timeout=360,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_wheel_has_what_a_wheel_should(python: str, plugin: Path) -> None:
    package = plugin.name.replace("-", "_")
    (wheel,) = WHEELS.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        metadata = opened.read(next(one for one in names if one.endswith("METADATA"))).decode()
    assert f"{package}/py.typed" in names
    if plugin.name == "flamepy-prometheus":
        assert {f"{package}/operations/{one}" for one in ("alerts.yml", "dashboard.json")} <= set(
            names
        )
    assert {one.partition("/")[0].partition("-")[0] for one in names} == {package}
    for line in ("Requires-Dist: flamepy-informers>=", "License-Expression: Apache-2.0"):
        assert line in metadata


def test_check_finds_both_and_nothing_wrong(python: str, tmp_path: Path) -> None:
    environment = {**os.environ, "FLAME_INFORMERS": "jsonlog,prometheus", "HOME": str(tmp_path)}
    done = subprocess.run(
        [python, "-m", "flamepy", "plugins", "check"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert {name for name, one in found.items() if one["enabled"]} == {"jsonlog", "prometheus"}


def test_the_template_is_short() -> None:
    (template,) = (ROOT / "plugins" / "flamepy-jsonlog" / "src").rglob("*.py")
    assert len(template.read_text().splitlines()) < 100


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as made:
        spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        made.register_application("recorded", spec)
        yield made


def test_client_service_and_informer_meet_in_one_trace(python: str) -> None:
    """The recipe examples/opentelemetry, with a stand-in of a collector."""
    stand_in = ROOT / "plugins" / "flamepy-opentelemetry" / "tests" / "collector.py"
    with subprocess.Popen(
        [python, str(stand_in)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as collector:
        assert collector.stdout is not None
        done = subprocess.run(
            [python, str(ROOT / "examples" / "opentelemetry" / "client.py")],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.stdout.readline().strip()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        received = json.loads(collector.communicate(timeout=30)[0])
    assert done.returncode == 0, done.stderr
    served, refused, first, second, bell = done.stdout.splitlines()
    assert (served, bell) == ("served", "the bell rang for 1")
    assert "no spinach" in refused
    parts = {"task": "restaurant", "submit": "restaurant", "queued": "restaurant"}
    parts |= {"running": "restaurant", "process": "kitchen", "cook": "kitchen"}
    (dinner,) = [one for one in received["spans"] if one["name"] == "dinner"]
    for line, more in ((first, {"callback": "restaurant"}), (second, {})):
        trace = line.split()[-1]
        spans = {one["name"]: one for one in received["spans"] if one["trace"] == trace}
        assert {name: one["service"] for name, one in spans.items()} == {**parts, **more}
        assert spans["submit"]["links"] == [dinner["trace"]]
        assert spans["process"]["parent"] == spans["running"]["span"]
        assert spans["cook"]["parent"] == spans["process"]["span"]
        for child in ("submit", "queued", "running"):
            assert spans[child]["parent"] == spans["task"]["span"]
    assert {"rpc.client.call.duration", "messaging.process.duration"} <= {*received["metrics"]}
    (failed,) = [one for one in received["logs"] if one["event"] == "flame.task.failed"]
    assert failed["trace"] == second.split()[-1]


def test_failures_are_a_message_and_that_they_are_over_another(python: str) -> None:
    """The recipe examples/alerts, with its stand-in of a chat."""
    done = subprocess.run(
        [python, str(ROOT / "examples" / "alerts" / "demo.py")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *failures, over = done.stdout.splitlines()
    counts = [int(line.split(" ")[0]) for line in failures]
    # One message, unless the machine takes more than a second for five tasks.
    assert sum(counts) == 5
    assert failures[0].startswith(f"{counts[0]} task")
    assert over == "render has recovered; 5 tasks had failed"


PARSE = """
import json, sys, urllib.request
from prometheus_client.parser import text_string_to_metric_families
text = urllib.request.urlopen(sys.argv[1], timeout=10).read().decode()
print(json.dumps([[one.name, one.labels, one.value]
    for family in text_string_to_metric_families(text) for one in family.samples]))
"""


def test_flamepy_run_with_both(python: str, connection: Connection, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    events = tmp_path / "events.jsonl"
    config = tmp_path / "flame.yaml"
    config.write_text(f"""
current-context: here
contexts:
  - name: here
    cluster: {{endpoint: "{connection.endpoint}"}}
    informers:
      - {{name: jsonlog, options: {{path: {events}}}}}
      - {{name: prometheus, options: {{port: {port}}}}}
""")
    with subprocess.Popen(
        [python, "-m", "flamepy", "run", "--strict"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "FLAME_CONFIG": str(config)},
    ) as process:
        try:
            eventually(events.exists, "the plugin's file")
            with connection.create_session("recorded", session_id="s") as session:
                for _ in range(3):
                    session.invoke(b"echo hi", timeout=30)
                with pytest.raises(TaskFailedError):
                    session.invoke(b"fail it", timeout=30)
            eventually(lambda: ends(events) == {"1", "2", "3", "4"}, "every end in the file")

            def counted() -> dict[str, float]:
                url = f"http://127.0.0.1:{port}/metrics"
                done = subprocess.run(
                    [python, "-c", PARSE, url], capture_output=True, text=True, check=True
                )
                return {
                    labels["state"]: value
                    for name, labels, value in json.loads(done.stdout)
                    if name == "flame_task_transitions_total"
                }

            eventually(
                lambda: (counted().get("succeed"), counted().get("failed")) == (3.0, 1.0),
                "every end in a scrape",
            )
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("options", "last"),
    [(["--strict"], "cannot serve metrics at 127.0.0.1:"), ([], "there is nothing to run")],
)
def test_a_port_of_the_metrics_that_is_taken_is_told(
    python: str, tmp_path: Path, options: list[str], last: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "flame.yaml").write_text(
            "current-context: a\ncontexts:\n- name: a\n  informers:\n"
            f"  - {{name: prometheus, options: {{port: {port}}}}}\n"
        )
        done = subprocess.run(
            [python, "-m", "flamepy", "run", "--endpoint", "127.0.0.1:1", *options],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**os.environ, "FLAME_CONFIG": str(tmp_path / "flame.yaml")},
            check=False,
        )
    assert done.returncode == 2, done.stderr
    assert f"cannot serve metrics at 127.0.0.1:{port}" in done.stderr
    assert last in done.stderr.splitlines()[-1]


def ends(path: Path) -> set[str]:
    """Return the tasks whose end is in the file, after checking that none is there twice."""
    lines = [json.loads(line) for line in path.read_text().splitlines(keepends=True)]
    ended = [
        one["task"]
        for one in lines
        if one["type"] == "task" and one["state"] in ("succeed", "failed")
    ]
    assert len(ended) == len(set(ended))
    return set(ended)
