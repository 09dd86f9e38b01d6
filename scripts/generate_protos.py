"""Generate ``src/flamepy/_proto`` from ``protos/``; ``--check`` only compares.

protoc's Python output is changed in three ways, so that it may live inside a package and
beside other packages that register the same file or message names:

- imports of sibling modules become relative;
- the descriptors go to a ``DescriptorPool`` of our own instead of protobuf's default one;
- protobuf's check "runtime not older than generator, at most one major newer" goes: what is
  left calls only the builder, which is the same in every protobuf release that we allow, and
  the check would warn every user at each new major release.

No gRPC stubs are generated: ``wire.services`` reads the methods from the descriptors.
Needs the pinned ``grpcio-tools`` of the dependency group ``proto``.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
TARGET = ROOT / "src" / "flamepy" / "_proto"
NAMES = ("types", "frontend", "shim")

POOL = '''"""The descriptor pool of our own messages, apart from protobuf's default pool.

Does one thing: two packages in one process may both define ``flame.v1`` (or a file called
``types.proto``), and the default pool refuses the second. Every ``*_pb2`` beside this module
registers here.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
'''

INIT = '''"""Generated protobuf messages of the Flame wire; written by scripts/generate_protos.py.

Only ``wire``, ``rpc``, ``local``, ``core.service`` and ``testing`` may import it.
"""
'''


def main(arguments: list[str]) -> int:
    """Write the package, or with ``--check`` return 1 and name the files that differ."""
    with tempfile.TemporaryDirectory() as folder:
        files = generate(Path(folder))
    if arguments == ["--check"]:
        stale = [name for name, text in files.items() if read(TARGET / name) != text]
        if stale:
            print(f"out of date: {', '.join(stale)}; run python scripts/generate_protos.py")
            return 1
        print(f"{len(files)} generated files are up to date")
        return 0
    TARGET.mkdir(exist_ok=True)
    for name, text in files.items():
        (TARGET / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(files)} files to {TARGET.relative_to(ROOT)}")
    return 0


def generate(folder: Path) -> dict[str, str]:
    """Run protoc into ``folder`` and return file name -> text after the changes above."""
    from grpc_tools import protoc

    sources = [f"flame/v1/{name}.proto" for name in NAMES]
    command = ["protoc", f"-I{PROTOS}", f"--python_out={folder}", f"--pyi_out={folder}", *sources]
    if protoc.main(command) != 0:
        raise SystemExit("protoc failed; its message is above")
    files = {"__init__.py": INIT, "_pool.py": POOL}
    for name in NAMES:
        base = folder / "flame" / "v1"
        files[f"{name}_pb2.py"] = module(base / f"{name}_pb2.py")
        files[f"{name}_pb2.pyi"] = relative((base / f"{name}_pb2.pyi").read_text())
    return files


def module(path: Path) -> str:
    """Return one generated module with relative imports, our pool and no version check."""
    text = relative(path.read_text())
    text = text.replace(
        "from google.protobuf import descriptor_pool as _descriptor_pool\n",
        "from ._pool import POOL as _POOL\n",
    )
    text = text.replace("_descriptor_pool.Default()", "_POOL")
    text = text.replace("from google.protobuf import runtime_version as _runtime_version\n", "")
    text = re.sub(
        r"_runtime_version\.ValidateProtobufRuntimeVersion\(.*?\n\)\n", "", text, flags=re.S
    )
    return re.sub(r"# Protobuf Python Version: .*\n", "", text)


def relative(text: str) -> str:
    """Return ``text`` with imports of sibling modules made relative."""
    return text.replace("from flame.v1 import", "from . import")


def read(path: Path) -> str | None:
    """Return the text of a file, or None when it does not exist."""
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
