"""Application manifests: what flmctl takes, and errors that name file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from flamepy.errors import ConfigError
from flamepy.local.manifest import read_manifest
from flamepy.types import ApplicationSchema, Shim

WHOLE = """
metadata:
  name: byte-service
spec:
  shim: Host
  description: bytes
  labels: [a, 1]
  command: /usr/bin/python3
  arguments: ["service.py", 8]
  environments: {A: "1", B: 2}
  working_directory: /srv
  max_instances: 3
  delay_release: 1
  schema: {input: "{}"}
"""


def manifest(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "app.yaml"
    path.write_text(text)
    return path


def test_a_whole_manifest(tmp_path: Path) -> None:
    name, made = read_manifest(manifest(tmp_path, WHOLE))
    assert name == "byte-service"
    assert (made.shim, made.command, made.arguments) == (
        Shim.HOST,
        "/usr/bin/python3",
        ["service.py", "8"],
    )
    assert (made.environments, made.labels) == ({"A": "1", "B": "2"}, ["a", "1"])
    assert made.schema == ApplicationSchema(input="{}")


def test_variables_as_a_list_of_pairs(tmp_path: Path) -> None:
    text = "metadata: {name: a}\nspec: {environments: [{name: A, value: 1}]}"
    assert read_manifest(manifest(tmp_path, text))[1].environments == {"A": "1"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("metadata: [", "not YAML"),
        ("just text", "the file must be a mapping"),
        ("spec: {}", "metadata must be a mapping"),
        ("metadata: {}\nspec: {}", "metadata.name must be the application's name"),
        ("metadata: {name: a}", "spec must be a mapping"),
        ("metadata: {name: a}\nspec: {comand: x}", "spec.comand is not known; known: arguments"),
        ("metadata: {name: a}\nspec: {command: [x]}", "spec.command must be text"),
        ("metadata: {name: a}\nspec: {arguments: x}", "spec.arguments must be a list"),
        ("metadata: {name: a}\nspec: {max_instances: -1}", "spec.max_instances"),
        ("metadata: {name: a}\nspec: {shim: Docker}", "spec.shim must be Host or Wasm"),
        ("metadata: {name: a}\nspec: {environments: [{A: 1}]}", "name and value"),
        ("metadata: {name: a}\nspec: {schema: {inputs: x}}", "spec.schema"),
        ("metadata: {name: a}\nspec: {max_instances: true}", "spec.max_instances"),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, text: str, says: str) -> None:
    path = manifest(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_manifest(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert says in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read: No such file"):
        read_manifest(tmp_path / "nothing.yaml")
