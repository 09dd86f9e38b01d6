"""The files of deploy/: they parse, what they call exists, and what they name is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from flamepy.cli.commands import flamepy
from flamepy.config.expansion import expand
from flamepy.config.schema.document import Document
from flamepy.config.schema.keys import REACTOR

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "flame-informers.service"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
MANIFESTS: dict[str, Any] = {
    one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
}
POD: dict[str, Any] = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]


def checked(arguments: list[str]) -> dict[str, Any]:
    """Return the options of a command line; fails where the command or an option is unknown."""
    context = click.Context(flamepy)
    command = flamepy.get_command(context, arguments[0])
    assert command is not None, arguments
    return command.make_context(arguments[0], arguments[1:], parent=context).params


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def image_command() -> list[str]:
    text = (DEPLOY / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["flamepy"]' in text
    found = re.search(r"^CMD (\[.+\])$", text, re.MULTILINE)
    assert found
    return list(yaml.safe_load(found[1]))


COMMANDS = {
    "Dockerfile": image_command(),
    "engine": COMPOSE["services"]["engine"]["command"],
    "informers": COMPOSE["services"]["informers"]["command"],
    "health of engine": COMPOSE["services"]["engine"]["healthcheck"]["test"][2:],
    "kubernetes": CONTAINER["args"],
    "unit": unit()["ExecStart"][0].split()[1:],
}
FILES = {
    "flame.yaml": (DEPLOY / "flame.yaml").read_text(),
    "kubernetes": MANIFESTS["ConfigMap"]["data"]["flame.yaml"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_exists_with_its_options(name: str) -> None:
    assert checked(COMMANDS[name])


@pytest.mark.parametrize("name", FILES)
def test_a_flame_yaml_is_right_and_names_plugins_of_this_repository(name: str) -> None:
    document = Document(FILES[name])
    assert document.findings() == []
    (context,) = document.value["contexts"]
    plugins = set()
    for path in (ROOT / "plugins").glob("*/pyproject.toml"):
        entries = path.read_text().split('entry-points."flamepy.informers"]\n')[1]
        plugins |= set(re.findall(r"^([\w-]+) = ", entries.partition("[")[0], re.MULTILINE))
    assert {one.get("plugin", one["name"]) for one in context["informers"]} <= plugins
    found = expand(context["reactor"], "reactor", {"STATE_DIRECTORY": "/state"}).value
    assert found == {"checkpoint": "/state/checkpoint.db"}
    assert set(found) <= set(REACTOR.names)


class TestUnit:
    def test_systemd_takes_it(self, tmp_path: Path) -> None:
        if shutil.which("systemd-analyze") is None:
            pytest.skip("systemd-analyze is not installed")
        text = UNIT.read_text().replace("/opt/flame-informers/bin/flamepy", "/bin/true")
        path = tmp_path / UNIT.name
        path.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        about_it = [line for line in done.stderr.splitlines() if UNIT.name in line]
        assert (done.returncode, about_it) == (0, []), done.stderr

    def test_a_reload_is_sighup_and_a_stop_is_for_the_main_process_first(self) -> None:
        found = unit()
        assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
        assert (found["KillMode"], found["KillSignal"]) == (["mixed"], ["SIGTERM"])
        assert found["RestartPreventExitStatus"] == ["2"]
        assert found["StateDirectory"] == ["flame-informers"]

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("DynamicUser", "yes"),
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("PrivateDevices", "yes"),
            ("CapabilityBoundingSet", ""),
            ("RestrictNamespaces", "yes"),
            ("SystemCallFilter", "@system-service"),
        ],
    )
    def test_it_is_hardened(self, key: str, value: str) -> None:
        assert unit()[key] == [value]


class TestKubernetes:
    def test_probes_ask_what_flamepy_run_serves(self) -> None:
        ports = {one["name"]: one["containerPort"] for one in CONTAINER["ports"]}
        served = checked(CONTAINER["args"])["http"]
        assert served == f"0.0.0.0:{ports['health']}"
        paths = {
            name: CONTAINER[f"{name}Probe"]["httpGet"]
            for name in ("startup", "liveness", "readiness")
        }
        assert paths == {
            "startup": {"path": "/healthz", "port": "health"},
            "liveness": {"path": "/healthz", "port": "health"},
            "readiness": {"path": "/readyz", "port": "health"},
        }
        (context,) = yaml.safe_load(FILES["kubernetes"])["contexts"]
        (metrics,) = [one for one in context["informers"] if one["name"] == "prometheus"]
        assert metrics["options"]["port"] == ports["metrics"]

    def test_what_is_mounted_is_there_and_one_process_has_the_checkpoint(self) -> None:
        volumes = {one["name"]: one for one in POD["volumes"]}
        mounts = {one["name"]: one["mountPath"] for one in CONTAINER["volumeMounts"]}
        assert set(volumes) == set(mounts)
        assert volumes["config"]["configMap"]["name"] == MANIFESTS["ConfigMap"]["metadata"]["name"]
        claim = MANIFESTS["PersistentVolumeClaim"]["metadata"]["name"]
        assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim
        assert checked(CONTAINER["args"])["config"] == f"{mounts['config']}/flame.yaml"
        assert {"name": "STATE_DIRECTORY", "value": mounts["state"]} in CONTAINER["env"]
        spec = MANIFESTS["Deployment"]["spec"]
        assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()

    def test_it_runs_with_few_rights(self) -> None:
        assert POD["securityContext"]["runAsNonRoot"] is True
        rights = CONTAINER["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}


class TestCompose:
    def test_volumes_networks_and_services_are_declared(self) -> None:
        for service in COMPOSE["services"].values():
            named = [one.split(":")[0] for one in service["volumes"]]
            for one in named:
                declared = one in COMPOSE["volumes"] or (DEPLOY / one).exists()
                assert declared, one
            assert set(service["networks"]) <= set(COMPOSE["networks"])
            assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        build = COMPOSE["services"]["engine"]["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).exists()

    def test_the_informers_watch_the_engine_beside_them(self) -> None:
        engine = checked(COMPOSE["services"]["engine"]["command"])
        informers = COMPOSE["services"]["informers"]
        assert informers["environment"]["FLAME_ENDPOINT"] == f"http://engine:{engine['port']}"
        assert engine["host"] == "0.0.0.0"
        port = checked(informers["command"])["http"].rpartition(":")[2]
        assert f"127.0.0.1:{port}/healthz" in informers["healthcheck"]["test"][-1]
        assert f"127.0.0.1:{port}:{port}" in informers["ports"]
