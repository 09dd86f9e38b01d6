"""What a release says about itself is true everywhere: versions, licences, Pythons, workflows."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from flamepy import __version__

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
NAMES = [path.name if path != ROOT else "library" for path in PROJECTS]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
each_project = pytest.mark.parametrize("project", PROJECTS, ids=NAMES)


@pytest.fixture(scope="module")
def scripts() -> dict[str, object]:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return {
            name: value
            for script in ("test_all", "build_dist")
            for name, value in runpy.run_path(str(ROOT / "scripts" / f"{script}.py")).items()
        }
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_every_distribution_has_the_version(scripts: dict[str, object]) -> None:
    versions = scripts["versions"]
    assert callable(versions)
    found = versions(ROOT)
    assert len(found) == len(PROJECTS)
    assert set(found.values()) == {__version__}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    for path in ROOT.glob("plugins/*/src/*/names.py"):
        said = re.findall(r'^VERSION = "(.+)"$', path.read_text(), re.MULTILINE)
        assert set(said) <= {__version__}, path


def test_the_changelog_has_the_version_with_the_citations_date() -> None:
    titles = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    date = yaml.safe_load((ROOT / "CITATION.cff").read_text())["date-released"]
    assert titles[:2] == ["[Unreleased]", f"[{__version__}] - {date}"]


@each_project
def test_classifiers_are_the_pythons_that_tests_run_on(
    project: Path, scripts: dict[str, object]
) -> None:
    text = (project / "pyproject.toml").read_text()
    claimed = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    pythons = scripts["PYTHONS"]
    assert isinstance(pythons, tuple)
    assert tuple(claimed) == pythons
    assert f'requires-python = ">={pythons[0]}"' in text


@each_project
def test_every_distribution_brings_its_licence_and_types(project: Path) -> None:
    assert (project / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert 'license-files = ["LICENSE"]' in (project / "pyproject.toml").read_text()
    packages = list((project / "src").glob("*/__init__.py"))
    assert packages
    assert all((package.parent / "py.typed").is_file() for package in packages)


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_workflow_pins_actions_and_calls_targets_that_exist(path: Path) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (.+)$", text, re.MULTILINE)
    assert used
    for one in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", one), one
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in re.findall(r"run: make (.+)$", text, re.MULTILINE):
        named = set(re.sub(r'\w+=("[^"]*"|\S+)', "", command).split())
        assert named, command
        assert named <= targets, command


def test_two_builds_with_other_bytes_are_seen(scripts: dict[str, object], tmp_path: Path) -> None:
    differences = scripts["differences"]
    assert callable(differences)
    for folder, names in (("one", "abc"), ("two", "abd")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.whl").write_text(folder if name == "b" else name)
    assert differences(tmp_path / "one", tmp_path / "two") == ["b.whl", "c.whl", "d.whl"]


def test_the_matrix_has_each_python_with_old_and_new_grpcio_and_pyarrow(
    scripts: dict[str, object],
) -> None:
    matrix, pythons = scripts["matrix"], scripts["PYTHONS"]
    assert callable(matrix)
    assert isinstance(pythons, tuple)
    made = matrix({version: Path(version) for version in pythons})
    assert len(made) == 4 * len(pythons)
    for version in pythons:
        assert made[f"{version}-new-new"].pins == ()
        assert made[f"{version}-old-old"].pins == ("grpcio==1.71.*", "pyarrow==18.*")
    page = (ROOT / "docs" / "releases.md").read_text()
    assert "| grpcio | 1.71 |" in page
    assert "| pyarrow (extra `cache`) | 18 |" in page
