"""The metrics, the alerts and the dashboard, with a real Prometheus where one is installed."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml
from flamepy_prometheus import Prometheus
from flamepy_prometheus.__main__ import FILES

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import TaskFailedError
from flamepy.informers import Reactor
from flamepy.informers.plugins.loading import Plugin
from flamepy.local import LocalCluster

HERE = Path(__file__).parent
DASHBOARD: dict[str, Any] = json.loads(FILES["dashboard"].read_text())
ALERTS: dict[str, Any] = yaml.safe_load(FILES["alerts"].read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
TARGETS = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
LEFT_OUT = "is not installed here (Debian's package prometheus has it)"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip(f"promtool {LEFT_OUT}")
    return found


def run(*command: str, given: str | None = None) -> str:
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def eventually(condition: Callable[[], Any], what: str) -> Any:
    limit = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < limit, f"not within 30 s: {what}"
        Event().wait(0.05)
    return found


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("bad")
        return b"fine"


class Server:
    """A Prometheus that scrapes a plugin."""

    def __init__(self, url: str, page: str, work: Callable[[], None]) -> None:
        self.url = url
        self.page = page
        self.work = work

    def ask(self, path: str, **values: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from None
        assert found["status"] == "success"
        assert not found.get("warnings")
        return found["data"]

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found


def work(connection: Connection) -> None:
    with connection.create_session("app") as session:
        session.invoke(b"good", timeout=30)
        with pytest.raises(TaskFailedError):
            session.invoke(b"bad", timeout=30)


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("app", Service)
        yield made


@pytest.fixture(scope="module")
def plugin(connection: Connection) -> Iterator[Prometheus]:
    made = Prometheus(port=0)
    with Reactor(connection=connection, plugins=[Plugin("prometheus", made)]) as reactor:
        reactor.wait_synced(timeout=30)
        work(connection)
        yield made


@pytest.fixture(scope="module")
def server(
    connection: Connection, plugin: Prometheus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(f"prometheus {LEFT_OUT}")
    folder = tmp_path_factory.mktemp("prometheus")
    config = {
        "global": {"scrape_interval": "200ms", "evaluation_interval": "500ms"},
        "rule_files": [str(FILES["alerts"])],
        "scrape_configs": [
            {
                "job_name": "flame",
                "static_configs": [{"targets": [f"127.0.0.1:{plugin.port}"]}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            made = Server(f"http://{address}", f"127.0.0.1:{plugin.port}", lambda: work(connection))

            def serves() -> bool:
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                try:
                    return bool(read(f"{made.url}/-/ready"))
                except OSError:
                    return False

            eventually(serves, "a Prometheus that serves")
            eventually(lambda: made.query("flame_ready == 1"), "a scrape")
            made.work()  # beside a sample from before, so that rates are of something
            failed = 'flame_task_transitions_total{application="app",state="failed"} >= 2'
            eventually(lambda: made.query(failed), "a failed task in Prometheus")
            eventually(lambda: made.query("rate(flame_task_seconds_count[1m]) > 0"), "a rate")
            yield made
        finally:
            process.terminate()
            process.wait(30)


def test_the_page_is_clean(promtool: str, plugin: Prometheus) -> None:
    page = read(f"http://127.0.0.1:{plugin.port}/metrics")
    assert 'flame_tasks{application="app",state="failed"}' in page
    assert run(promtool, "check", "metrics", given=page) == ""


def test_the_rules_are_sound(promtool: str) -> None:
    said = run(promtool, "check", "rules", str(FILES["alerts"]))
    assert f"{len(RULES)} rules found" in said


def test_each_alert_fires_when_it_should(promtool: str, tmp_path: Path) -> None:
    text = (HERE / "alerts_test.yml").read_text().replace("RULES", str(FILES["alerts"]))
    cases = yaml.safe_load(text)["tests"]
    fired = {
        one["alertname"] for case in cases for one in case["alert_rule_test"] if one["exp_alerts"]
    }
    quiet = {
        one["alertname"]
        for case in cases
        for one in case["alert_rule_test"]
        if not one["exp_alerts"]
    }
    assert fired == quiet == {rule["alert"] for rule in RULES}
    (tmp_path / "alerts_test.yml").write_text(text)
    assert "SUCCESS" in run(promtool, "test", "rules", str(tmp_path / "alerts_test.yml"))


def names(text: str) -> set[str]:
    return set(re.findall(r"\bflame_[a-z_]+", text))


def test_alerts_and_dashboard_know_the_metrics_that_there_are(plugin: Prometheus) -> None:
    """An expression of a metric that does not exist would be silence for ever."""
    page = read(f"http://127.0.0.1:{plugin.port}/metrics")
    there = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line[:1] != "#"}
    for expression in [*(rule["expr"] for rule in RULES), *(one.values[0] for one in TARGETS)]:
        assert names(str(expression)) <= there


def test_the_table_of_the_readme_has_every_alert() -> None:
    table = (HERE.parent / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(Flame\w+)` \| (\w+) \|", table, re.MULTILINE))
    assert rows == {rule["alert"]: rule["labels"]["severity"] for rule in RULES}


def test_the_table_of_the_readme_has_every_metric(plugin: Prometheus) -> None:
    page = read(f"http://127.0.0.1:{plugin.port}/metrics")
    there = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    table = (HERE.parent / "README.md").read_text()
    documented = set(re.findall(r"^\| `(flame_\w+)` \|", table, re.MULTILINE))
    assert documented == {one for one in there if not one.endswith("_created")}


def test_prometheus_scrapes_it_and_takes_the_rules(server: Server) -> None:
    (target,) = server.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert server.page in target["scrapeUrl"]

    def evaluated() -> list[Any]:
        found = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    rules = eventually(evaluated, "an evaluation of the rules")
    assert {(rule["name"], rule["health"]) for rule in rules} == {
        (rule["alert"], "ok") for rule in RULES
    }


@pytest.mark.parametrize("expression", TARGETS)
def test_an_expression_of_the_dashboard_has_data(expression: str, server: Server) -> None:
    for variable, value in (
        ("$__rate_interval", "1m"),
        ("$__range", "1m"),
        ("$application", ".*"),
        ("$instance", ".*"),
    ):
        expression = expression.replace(variable, value)
    assert "$" not in expression
    assert server.query(expression)


def test_the_variables_of_the_dashboard_have_values(server: Server) -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables.pop("datasource")["type"] == "datasource"
    values = {}
    for name, one in variables.items():
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"]["query"])
        assert found is not None
        values[name] = server.ask(f"label/{found[2]}/values", **{"match[]": found[1]})
    assert values == {"application": ["app"], "instance": [server.page]}


def test_every_panel_asks_the_data_source_that_is_chosen() -> None:
    asked = [one for panel in DASHBOARD["panels"] for one in (panel, *panel["targets"])]
    assert {one["datasource"]["uid"] for one in asked} == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_printed(name: str) -> None:
    assert run(sys.executable, "-m", "flamepy_prometheus", name) == FILES[name].read_text()
