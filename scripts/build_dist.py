"""Build every distribution into ``dist/``: wheels, sdists, their sums, and a list of materials.

``make dist`` runs it with the Python of ``.cache/dist/venv``. Everything is built twice, the
second time from a copy of the checkout elsewhere with a stricter umask: both must have the same
bytes. ``SOURCE_DATE_EPOCH`` is the time in the archives, by default that of the last commit.
``--version X.Y.Z`` (of a tag) must be that of every distribution. What is built is checked by
twine and check-wheel-contents, and ``dist/sbom.cdx.json`` lists in CycloneDX what an installation
with every extra has. Only the standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
INSTALLED = ROOT / ".cache" / "dist" / "installed"
SUMS = "SHA256SUMS"
MATERIALS = "sbom.cdx.json"
STRICT_UMASK = 0o077

sys.path.insert(0, str(ROOT / "scripts"))
from setup_venv import missing  # noqa: E402


def main() -> int:
    """Return 0 when every distribution is in ``dist/``, 1 after saying what is wrong."""
    parser = argparse.ArgumentParser(description="Build every distribution into dist/.")
    parser.add_argument("--version", default="", help="the version that all must have")
    version = parser.parse_args().version
    found = versions(ROOT)
    if len({*found.values(), version or found["flamepy-informers"]}) != 1:
        said = ", ".join(f"{name} {one}" for name, one in found.items())
        return missing(
            f"one version of all distributions and the tag {version!r}; there are: {said}"
        )
    os.environ["SOURCE_DATE_EPOCH"] = os.environ.get("SOURCE_DATE_EPOCH") or commit_time()
    with tempfile.TemporaryDirectory(prefix="flamepy-dist-") as scratch:
        first, second = Path(scratch, "first"), Path(scratch, "second")
        build(ROOT, first)
        copy_checkout(Path(scratch, "checkout"))
        usual = os.umask(STRICT_UMASK)
        build(Path(scratch, "checkout"), second)
        os.umask(usual)
        different = differences(first, second)
        if different:
            return missing(f"the same bytes in two builds: {', '.join(different)}")
        publish(first)
    print(f"reproducible: ok, {len(archives(DIST))} files twice the same")
    check()
    write_materials(found["flamepy-informers"])
    write_sums()
    return 0


def projects(checkout: Path) -> list[Path]:
    """Return the folders that have a distribution each: the library's, then the plugins'."""
    return [checkout, *sorted(path.parent for path in checkout.glob("plugins/*/pyproject.toml"))]


def versions(checkout: Path) -> dict[str, str]:
    """Return the version of each distribution by its name."""
    found = {}
    for project in projects(checkout):
        text = (project / "pyproject.toml").read_text(encoding="utf-8")
        place = re.search(r'^\[tool\.hatch\.version\]\npath = "(.+)"$', text, re.MULTILINE)
        source = (project / place[1]).read_text(encoding="utf-8") if place else text
        name = re.search(r'^name = "(.+)"$', text, re.MULTILINE)
        version = re.search(r'^(?:__version__|version) = "(.+)"$', source, re.MULTILINE)
        if name is None or version is None:
            raise SystemExit(missing(f"a name and a version in {project / 'pyproject.toml'}"))
        found[name[1]] = version[1]
    return found


def commit_time() -> str:
    """Return the seconds since 1970 of the last commit."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(missing("a git checkout, or the variable SOURCE_DATE_EPOCH"))
    return done.stdout.strip()


def copy_checkout(folder: Path) -> None:
    """Copy what git knows or does not ignore; times of files become those of now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in sorted({os.fsdecode(one) for one in listed.split(b"\0") if one}):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def build(checkout: Path, folder: Path) -> None:
    """Build an sdist of each project, and the wheel from that sdist."""
    for project in projects(checkout):
        name = project.relative_to(checkout).name or "flamepy-informers"
        print(f"building {name}", flush=True)
        run("-m", "build", "--no-isolation", "--outdir", str(folder), str(project), quiet=True)


def archives(folder: Path) -> list[Path]:
    """Return the wheels and sdists in a folder."""
    return sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])


def differences(first: Path, second: Path) -> list[str]:
    """Return the names that only one folder has, or that differ."""
    sums = [{path.name: digest(path) for path in archives(one)} for one in (first, second)]
    return sorted({name for name, _ in sums[0].items() ^ sums[1].items()})


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def publish(folder: Path) -> None:
    """Put what was built into ``dist/``, which has nothing else then."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    for path in archives(folder):
        shutil.copyfile(path, DIST / path.name)


def check() -> None:
    """Check the descriptions and the contents."""
    every = [str(path) for path in archives(DIST)]
    run("-m", "twine", "check", "--strict", *every, quiet=True)
    print("twine: ok")
    wheels = [one for one in every if one.endswith(".whl")]
    run("-m", "check_wheel_contents", *wheels, quiet=True)
    print("check-wheel-contents: ok")


def write_materials(version: str) -> None:
    """Install the library with every extra and all plugins; list what is installed."""
    shutil.rmtree(INSTALLED, ignore_errors=True)
    run("-m", "venv", "--without-pip", str(INSTALLED))
    wheels = [str(path) for path in DIST.glob("*.whl") if "flamepy_informers" not in path.name]
    library = f"{DIST}/flamepy_informers-{version}-py3-none-any.whl[all]"
    python = str(INSTALLED / "bin" / "python")
    pip = ("-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet")
    run(*pip, library, *wheels)
    target = DIST / MATERIALS
    options = ("--output-reproducible", "--pyproject", "pyproject.toml", "--mc-type", "library")
    run("-m", "cyclonedx_py", "environment", *options, "-o", str(target), python, quiet=True)
    text = target.read_text(encoding="utf-8")
    text = text.replace(f"{DIST.as_uri()}/", "")  # a place of this machine
    unnumbered = '"name": "flamepy-informers",\n      "type": "library"\n'
    numbered = unnumbered.replace('"\n', f'",\n      "version": "{version}"\n', 1)
    assert unnumbered in text
    target.write_text(text.replace(unnumbered, numbered), encoding="utf-8")
    print(f"materials: {target.relative_to(ROOT)}")


def write_sums() -> None:
    """Write the SHA-256 of every file in ``dist/``."""
    lines = [f"{digest(path)}  {path.name}\n" for path in sorted(DIST.iterdir())]
    (DIST / SUMS).write_text("".join(lines), encoding="utf-8")
    print(f"sums: {(DIST / SUMS).relative_to(ROOT)} of {len(lines)} files")


def run(*arguments: str, quiet: bool = False) -> None:
    """Run a module; raises SystemExit when it fails, after what it printed."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, text=True, check=False, **streams)
    if done.returncode != 0:
        print(done.stdout or "", file=sys.stderr)
        raise SystemExit(missing(f"success of python {' '.join(arguments[:3])}: see above"))


if __name__ == "__main__":
    sys.exit(main())
