"""What the package promises about itself: exports, weight, floors, sizes, words."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flamepy
from flamepy import core

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "flamepy"
GENERATED = SOURCE / "_proto"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if GENERATED not in path.parents)


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


class TestExports:
    def test_the_root_has_few_names_and_each_is_there(self) -> None:
        assert len(flamepy.__all__) <= 60  # the guide's and the official SDK's
        for name in flamepy.__all__:
            assert getattr(flamepy, name) is not None

    def test_core_has_the_guides_names(self) -> None:
        for name in core.__all__:
            assert getattr(core, name) is not None
        for module in ("cache", "client", "types", "service"):
            assert importlib.import_module(f"flamepy.core.{module}")

    def test_a_name_that_is_not_there_is_said(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = flamepy.nothing
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = core.nothing

    def test_star_imports_work(self) -> None:
        for module in ("flamepy", "flamepy.core", "flamepy.aio", "flamepy.informers"):
            space: dict[str, object] = {}
            exec(f"from {module} import *", space)
            assert len(space) > 3


HEAVY = {
    *("grpc", "google.protobuf", "yaml", "cloudpickle", "blinker", "tenacity", "asyncio"),
    *("click", "rich", "jsonschema", "pyarrow", "pymongo", "uvloop", "pytest"),
}


def loaded(statement: str) -> tuple[set[str], int]:
    """Return which modules a statement loads in a fresh interpreter, and how many threads."""
    program = (
        f"import sys, threading\n{statement}\n"
        "print(threading.active_count(), *sys.modules, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    count, *names = done.stdout.splitlines()
    return set(names), int(count)


class TestWeight:
    @pytest.mark.parametrize("statement", ["import flamepy", "import flamepy.core"])
    def test_an_import_loads_nothing_heavy_and_starts_no_thread(self, statement: str) -> None:
        modules, threads = loaded(statement)
        assert not modules & HEAVY
        assert threads == 1

    def test_clients_and_informers_load_no_extra(self) -> None:
        names = "from flamepy.core import *; from flamepy.informers import *; import flamepy.aio"
        modules, threads = loaded(names)
        assert not modules & {"click", "rich", "jsonschema", "pyarrow", "pymongo", "pytest"}
        assert threads == 1

    def test_the_cluster_does_without_the_extras(self) -> None:
        modules, _ = loaded("from flamepy.local import LocalCluster")
        assert not modules & {"click", "rich", "jsonschema", "pyarrow", "pymongo"}


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
"""
CALLS = """
import asyncio, subprocess, sys
from flamepy import aio, core
from flamepy.errors import MissingExtraError
from flamepy.local import LocalCluster

ref = core.ObjectRef("grpc://127.0.0.1:1", "a/b/c")
calls = [
    lambda: core.put_object("a/b", 1),
    lambda: core.get_object(ref),
    lambda: core.put_objects("a/b", [1]),
    lambda: core.get_objects([ref]),
    lambda: core.update_object(ref, 1),
    lambda: core.patch_object(ref, 1),
    lambda: core.delete_objects("a/b"),
    lambda: core.upload_object("a/b", "x"),
    lambda: core.download_object(ref, "x"),
    lambda: asyncio.run(aio.put_object("a/b", 1)),
    lambda: asyncio.run(aio.get_object(ref)),
    lambda: asyncio.run(aio.put_objects("a/b", [1])),
    lambda: asyncio.run(aio.get_objects([ref])),
]
for call in calls:
    try:
        call()
    except MissingExtraError as error:
        assert 'pip install "flamepy-informers[cache]"' in error.message, error
        print("said")
with LocalCluster(executors=1) as cluster:
    print(cluster.has_cache)
"""


class TestWithoutTheCacheExtra:
    @pytest.mark.parametrize("missing", ["pyarrow", "bson"])
    def test_each_call_says_what_to_install_and_a_cluster_does_without(self, missing: str) -> None:
        program = WITHOUT.replace("{missing!r}", repr([missing])) + CALLS
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == ["said"] * 13 + ["False"]
        assert "running without the object cache" in done.stderr
        assert 'pip install "flamepy-informers[cache]"' in done.stderr

    def test_flamepy_up_says_so(self) -> None:
        program = WITHOUT.replace("{missing!r}", "['pyarrow']") + (
            "from flamepy.cli.main import main\nsys.argv[1:] = ['up', '--port', '0']\nmain()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert re.fullmatch(r"ready: http://127\.0\.0\.1:\d+\n", process.stdout.readline())
            process.terminate()
            _, log = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "WARNING" in log
        assert 'pip install "flamepy-informers[cache]"' in log


class TestGeneratedCode:
    def test_it_lives_beside_another_types_proto(self) -> None:
        """Other packages register files of the same name in the default pool."""
        program = (
            "from google.protobuf import descriptor_pb2, descriptor_pool\n"
            "for name in ('types.proto', 'frontend.proto', 'flame/v1/types.proto'):\n"
            "    file = descriptor_pb2.FileDescriptorProto(name=name, package='flame.v1')\n"
            "    file.message_type.add(name='Task')\n"
            "    try:\n"
            "        descriptor_pool.Default().AddSerializedFile(file.SerializeToString())\n"
            "    except TypeError:\n"
            "        pass  # the second file of one package repeats the message\n"
            "from flamepy.wire.services import FRONTEND\n"
            "print(len(FRONTEND))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout == "18\n"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


class TestSizes:
    def test_modules_are_small(self) -> None:
        lines = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
        assert max(lines.values()) <= 600, max(lines, key=lines.__getitem__)
        assert statistics.median(lines.values()) <= 160

    def test_functions_are_small(self) -> None:
        for path in MODULES:
            for function in functions(ast.parse(path.read_text())):
                length = (function.end_lineno or 0) - function.lineno + 1
                assert length <= 60, f"{name_of(path)}.{function.name} has {length} lines"


class TestWords:
    def test_everything_public_is_explained(self) -> None:
        for path in MODULES:
            tree = ast.parse(path.read_text())
            assert ast.get_docstring(tree), name_of(path)
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    assert ast.get_docstring(node), f"{name_of(path)}.{node.name}"

    def test_rooms_have_telling_names(self) -> None:
        vague = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
        official = {SOURCE / "util.py", SOURCE / "runner" / "helper.py"}  # import paths of the SDK
        assert not vague & {path.stem for path in SOURCE.rglob("*") if path not in official}

    def test_cited_sections_exist(self) -> None:
        cited = set()
        for folder in ("src", "tests", "protos", "examples"):
            for path in (ROOT / folder).rglob("*"):
                if path.suffix in (".py", ".proto", ".md"):
                    text = path.read_text()
                    cited |= set(re.findall(r"docs/(\w+)\.md#([a-z-]+)", text))
        assert len(cited) > 15
        for page, anchor in cited:
            headings = re.findall(
                r"^#+ (.+)$", (ROOT / f"docs/{page}.md").read_text(), re.MULTILINE
            )
            anchors = {heading.lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"docs/{page}.md#{anchor}"

    def test_nothing_sleeps_and_nothing_is_left_to_do(self) -> None:
        for path in MODULES:
            text = path.read_text()
            for word in ("time.sleep", "NotImplementedError", "TODO", "FIXME", "XXX"):
                assert word not in text, f"{name_of(path)}: {word}"


class TestYaml:
    def test_it_is_read_by_safe_load_only(self) -> None:
        """Any other loader makes objects of what a file names."""
        allowed = {"safe_load", "YAMLError", "safe_dump"}
        # Nodes with their lines, of which nothing is made.
        allowed |= {"compose", "SafeLoader", "SequenceNode", "MappingNode"}
        files = [
            path
            for folder in ("src", "plugins", "scripts", "examples", "benchmarks")
            for path in (ROOT / folder).rglob("*.py")
            if path.name != "broken.py"  # an example of what is no Python
        ]
        assert len(files) > 150
        readers = 0
        for path in files:
            for used in yaml_names(ast.parse(path.read_text())):
                assert used in allowed, f"{path.relative_to(ROOT)} uses yaml.{used}"
                readers += used == "safe_load"
        assert readers >= 2

    @pytest.mark.parametrize(
        "program",
        [
            "import yaml\nyaml.load(x)",
            "from yaml import load",
            "import yaml as y\ny.unsafe_load(x)",
        ],
    )
    def test_a_planted_one_is_found(self, program: str) -> None:
        assert set(yaml_names(ast.parse(program))) - {"safe_load"}


def yaml_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the module yaml that a program uses."""
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "yaml"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "yaml":
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in aliases:
            yield node.attr


class TestFloors:
    def lint(self, folder: Path) -> subprocess.CompletedProcess[str]:
        # The checker takes flamepy from the folder given, not from where it is installed.
        program = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from importlinter.cli import lint_imports\n"
            "sys.exit(lint_imports(config_filename=sys.argv[2], cache_dir=None))"
        )
        return subprocess.run(
            [sys.executable, "-c", program, str(folder), str(ROOT / "pyproject.toml")],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )

    def copy(self, folder: Path) -> Path:
        ignored = shutil.ignore_patterns("__pycache__")
        return Path(shutil.copytree(SOURCE, folder / "flamepy", ignore=ignored))

    def test_the_floors_hold(self, tmp_path: Path) -> None:
        self.copy(tmp_path)
        done = self.lint(tmp_path)
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        ("module", "line", "contract"),
        [
            ("wire/times.py", "import flamepy.watching.state.store", "floors"),
            ("aio/session.py", "import flamepy.informers.reactor", "floors"),
            ("local/engine.py", "import flamepy.rpc.transport.status", "never sees the client"),
            ("aio/session.py", "import flamepy._proto.types_pb2", "stays at the edge"),
            ("watching/state/store.py", "import threading", "pure"),
        ],
    )
    def test_a_planted_violation_is_found(
        self, tmp_path: Path, module: str, line: str, contract: str
    ) -> None:
        target = self.copy(tmp_path) / module
        target.write_text(f"{target.read_text()}\n{line}\n")
        done = self.lint(tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        broken = [text for text in done.stdout.splitlines() if text.endswith("BROKEN")]
        assert any(contract in text for text in broken), broken


def test_importing_any_module_changes_no_signal() -> None:
    """What belongs to the process stays the program's, Ctrl-C first of all."""
    program = (
        "import importlib, pkgutil, signal, sys\n"
        "numbers = sorted(signal.valid_signals())\n"
        "before = [signal.getsignal(one) for one in numbers]\n"
        "import flamepy\n"
        "for found in pkgutil.walk_packages(flamepy.__path__, 'flamepy.'):\n"
        "    if not found.name.endswith(('__main__', 'pytest_plugin')):\n"
        "        importlib.import_module(found.name)\n"
        "        now = [signal.getsignal(one) for one in numbers]\n"
        "        assert now == before, found.name\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


UNGUARDED = {
    "flamepy.texts",  # they are what guards
    "flamepy.lazy",  # names of modules
}


def unguarded(tree: ast.AST) -> Iterator[str]:
    """Yield what an f-string makes a text of that may raise: a user's object, an exception."""
    for handler in ast.walk(tree):
        if isinstance(handler, ast.ExceptHandler) and handler.name is not None:
            for node in ast.walk(handler):
                shown = isinstance(node, ast.FormattedValue) and ast.unparse(node.value)
                if shown == handler.name:
                    yield f"{{{shown}}}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r"):
            shown = ast.unparse(node.value)
            if not shown.strip("_").isupper():  # a constant
                yield f"{{{shown}!r}}"


class TestTexts:
    def test_the_text_of_a_users_object_is_taken_by_what_bears_that_it_raises(self) -> None:
        """An error about a user's object is ours, whatever the object's ``__repr__`` does."""
        for path in MODULES:
            name = name_of(path)
            if name in UNGUARDED or name.startswith("flamepy.informers."):
                continue
            found = list(unguarded(ast.parse(path.read_text())))
            assert not found, f"{name}: use flamepy.texts for {', '.join(found)}"

    @pytest.mark.parametrize(
        "program",
        [
            "f'{value!r} is no number'",
            "try:\n    call()\nexcept Exception as error:\n    print(f'failed: {error}')",
        ],
    )
    def test_a_planted_one_is_found(self, program: str) -> None:
        assert len(list(unguarded(ast.parse(program)))) == 1
