"""Pack a working directory: what goes into the archive, under which name, and its metadata.

The archive's bytes depend on paths, modes and contents alone, so its hash names the code: edited
code gets another name, and with it another installation (docs/runner.md#packages).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, cast

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of

EXCLUDES = (
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    "*.egg-info",
    ".git",
    ".tox",
    "node_modules",
    "*.pyc",
    "*.pyo",
    ".DS_Store",
)
METADATA = ("pyproject.toml", "setup.py", "setup.cfg")
TOP_LEVEL_EXCLUDES = ("dist",)
VIRTUAL_ENVIRONMENT = "pyvenv.cfg"  # a folder with it is one, whatever its name
HASH_LENGTH = 16  # hexadecimal digits of the archive's SHA-256 in its name
BLOCK = 1 << 20


def excluded(path: str, patterns: Iterable[str]) -> bool:
    """True if a pattern matches a path, or its last part; ``data/`` is the folder ``data``."""
    base = path.rsplit("/", 1)[-1]
    return any(
        fnmatch(path, pattern) or fnmatch(base, pattern)
        for pattern in (one.rstrip("/") for one in patterns)
    )


def pyproject(name: str, dependencies: Sequence[str]) -> str:
    """Return a pyproject.toml for code without one: only its dependencies are installed."""
    quoted = "".join(f'    "{_escaped(one)}",\n' for one in sorted(dependencies))
    listed = f"[\n{quoted}]" if quoted else "[]"
    return (
        "[build-system]\n"
        'requires = ["setuptools>=61"]\n'
        'build-backend = "setuptools.build_meta"\n\n'
        "[project]\n"
        f'name = "{_escaped(name)}"\n'
        'version = "0.1.0"\n'
        'requires-python = ">=3.9"\n'
        f"dependencies = {listed}\n\n"
        "[tool.setuptools]\n"
        "py-modules = []\n"
    )


def check_dependencies(given: object) -> list[str]:
    """Return the dependencies of a runner, checked.

    Raises:
        InvalidArgumentError: not a list of texts.
    """
    if given is None:
        return []
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise InvalidArgumentError(
            "dependencies must be a list of requirements such as ['numpy>=2'], got "
            f"{repr_of(given)}"
        )
    found = list(given)
    for one in found:
        if not isinstance(one, str) or not one.strip() or "\n" in one:
            raise InvalidArgumentError(
                f"dependencies: {repr_of(one)} must be a requirement of one line such as 'numpy>=2'"
            )
    return found


def has_metadata(folder: Path) -> str | None:
    """Return the name of the folder's packaging file for pip, or None."""
    return next((one for one in METADATA if (folder / one).is_file()), None)


def write_archive(
    folder: Path, target: Path, *, patterns: Sequence[str], extra: dict[str, str]
) -> str:
    """Write a folder as a ``.tar.gz``; return the hash of its content.

    Args:
        folder: what is packed; links stay links, sockets and devices are left out.
        target: the file that is made.
        patterns: what is left out besides ``dist`` at the top and virtual environments.
        extra: texts by name that are added.

    Returns:
        The first hexadecimal digits of the SHA-256 of the uncompressed archive.
    """
    digest = hashlib.sha256()
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=cast("IO[bytes]", _Hashing(packed, digest)), mode="w|") as tar,
    ):
        for name in walked(folder, patterns):
            _add(tar, folder / name, name)
        for name, text in sorted(extra.items()):
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return digest.hexdigest()[:HASH_LENGTH]


def walked(folder: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Yield the paths below a folder that are packed, sorted, folders before what is in them."""
    yield from _walked(folder, "", patterns)


def _walked(folder: Path, prefix: str, patterns: Sequence[str]) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        path = f"{prefix}{entry.name}"
        if excluded(path, patterns) or (not prefix and entry.name in TOP_LEVEL_EXCLUDES):
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and os.path.exists(os.path.join(entry.path, VIRTUAL_ENVIRONMENT)):
            continue
        yield path
        if is_folder:
            yield from _walked(Path(entry.path), f"{path}/", patterns)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tar.gettarinfo(str(path), name)
    if info is None or not (info.isreg() or info.isdir() or info.issym()):
        return  # a socket, a pipe or a device
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    if info.isreg():
        with path.open("rb") as file:
            tar.addfile(info, file)
    else:
        tar.addfile(info)


class _Hashing:
    """A stream that hashes what passes; ``tarfile`` needs no more than ``write``."""

    def __init__(self, file: gzip.GzipFile, digest: hashlib._Hash) -> None:
        self._file, self._digest = file, digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
