"""Make or reuse ``.venv`` in the checkout and install what the tests, checks and examples need.

With ``docs`` as argument: ``.cache/docs/venv``, with what the documentation's site needs. With
``dist``: ``.cache/dist/venv``, with what builds and checks the distributions. Run by make. Says
in one line what is missing when something is. Only the standard library.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
APART = ("docs", "dist")  # groups with an environment of their own, without the library
GROUPS = ("test", "lint", "typing", "proto")
EXTRAS = "cli,local,dashboard"


def main() -> int:
    """Return 0 when .venv is ready, 1 after saying what is missing."""
    if sys.version_info < (3, 10):  # noqa: UP036  # make may be told to use any python
        return missing(f"Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}")
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        return missing(f"the venv module of {sys.executable} (on Debian: apt install python3-venv)")
    apart = next((name for name in APART if sys.argv[1:] == [name]), None)
    folder = ROOT / ".cache" / apart / "venv" if apart else VENV
    name, python = folder.relative_to(ROOT), folder / "bin" / "python"
    if not usable(python):
        print(f"making {name}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
    print(f"installing into {name} (a minute or two, once)", flush=True)
    groups = (apart,) if apart else GROUPS
    wanted = [requirement for group in groups for requirement in read_group(group)]
    if not apart:
        wanted = ["--editable", f"{ROOT}[{EXTRAS}]", *wanted]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for arguments in (["--upgrade", "pip>=24"], wanted):
        if subprocess.run([*pip, *arguments], cwd=ROOT, check=False).returncode != 0:
            return missing("packages from the package index: pip's message is above")
    return 0


def usable(python: Path) -> bool:
    """Return True if the environment's Python runs, is new enough, and has pip."""
    code = "import sys, pip; sys.exit(sys.version_info < (3, 10))"
    try:
        done = subprocess.run([str(python), "-c", code], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def read_group(name: str) -> list[str]:
    """Return a dependency group of pyproject.toml; Python 3.10 has no TOML reader."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    groups = text.split("[dependency-groups]", 1)[1].split("\n[", 1)[0]
    found = re.search(rf"^{name} = \[(.*?)\]$", groups, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"pyproject.toml has no dependency group {name}")
    return re.findall(r'"([^"]+)"', found.group(1))


def missing(what: str) -> int:
    """Say what is missing, in one line; return the exit status."""
    print(f"missing: {what}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
