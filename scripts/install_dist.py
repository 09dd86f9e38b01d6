"""Install the wheels of ``dist/`` alone, on each Python here, and use them.

``make dist-install`` runs it after ``make dist``. Each Python gets a fresh environment below
``.cache/dist``, with the library, every extra and all plugins. There, away from the checkout: pip
finds no conflict, every plugin loads, ``flamepy`` answers, and a task runs in an embedded
cluster. Only the standard library.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
CACHE = ROOT / ".cache" / "dist"

sys.path.insert(0, str(ROOT / "scripts"))
from setup_venv import missing  # noqa: E402
from test_all import PYTHONS, find_pythons  # noqa: E402

# Runs with the plugins' names as arguments.
PROGRAM = """
import sys
from importlib.metadata import entry_points
from flamepy.core import connect
from flamepy.local import LocalCluster
from flamepy.core.service import FlameService


class Upper(FlameService):
    def on_session_enter(self, context):
        pass

    def on_task_invoke(self, context):
        return context.input.upper()

    def on_session_leave(self):
        pass



loaded = sorted(one.name for one in entry_points(group="flamepy.informers") if one.load())
assert loaded == sys.argv[1:], f"plugins {loaded}, not {sys.argv[1:]}"
if __name__ == "__main__":
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("upper", Upper())
        with connection.create_session("upper") as session:
            assert session.invoke(b"ok", timeout=60.0) == b"OK"
"""


def main() -> int:
    """Return 0 when the wheels work on every Python found."""
    wheels = sorted(DIST.glob("*.whl"))
    if not wheels:
        return missing("wheels in dist/: run make dist first")
    pythons = find_pythons()
    failed = [version for version, python in pythons.items() if not works(version, python, wheels)]
    for version in PYTHONS:
        state = "FAILED" if version in failed else "ok" if version in pythons else "-"
        print(
            f"{state:7} Python {version}{'' if state != '-' else ', which is not installed here'}"
        )
    return 1 if failed or not pythons else 0


def works(version: str, python: Path, wheels: list[Path]) -> bool:
    """Return whether everything installs and runs; prints what does not."""
    print(f"installing on Python {version}", flush=True)
    folder = CACHE / f"installed-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    inside = str(folder / "bin" / "python")
    wanted = [f"{one}[all]" if "flamepy_informers" in one.name else str(one) for one in wheels]
    plugins = sorted(
        one.name.removeprefix("flamepy_").partition("-")[0]
        for one in wheels
        if "flamepy_informers" not in one.name
    )
    pip = [inside, "-m", "pip", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory(prefix="flamepy-installed-") as elsewhere:
        program = Path(elsewhere, "program.py")
        program.write_text(PROGRAM, encoding="utf-8")
        commands = [
            [str(python), "-m", "venv", str(folder)],
            [*pip, "install", "--quiet", *wanted],
            [*pip, "check"],
            [str(folder / "bin" / "flamepy"), "--version"],
            [inside, "-W", "error", str(program), *plugins],
        ]
        return all(succeeds(command, elsewhere) for command in commands)


def succeeds(command: list[str], folder: str) -> bool:
    """Return whether a command ends with 0; prints what it printed otherwise."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print(f"{' '.join(command[:4])} ...\n{done.stdout}", file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
