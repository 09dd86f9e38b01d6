"""Checks of ``flamepy doctor`` on this machine: versions, the official SDK, proxies.

Nothing here imports ``flamepy.core``: the official SDK, installed over this library, replaces it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata

from flamepy._version import __version__
from flamepy.cli.checks.findings import Finding, failed, passed, skipped, warned
from flamepy.config import FlameContext
from flamepy.host.addresses import is_here

BASE = ("grpcio", "protobuf", "pyyaml", "cloudpickle", "blinker", "tenacity")
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def versions() -> Finding:
    """The versions of Python and of the base dependencies; one that is missing fails."""
    found = {name: _version(name) for name in BASE}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return failed(
            "versions", f"not installed: {', '.join(missing)}", "pip install flamepy-informers"
        )
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    return passed(
        "versions", f"flamepy-informers {__version__}, Python {platform.python_version()}, {listed}"
    )


def official_sdk() -> Finding:
    """Whether the distribution ``flamepy`` is installed beside ours."""
    version = _version("flamepy")
    if version is None:
        return passed("official SDK", "not installed beside flamepy-informers")
    return failed(
        "official SDK",
        f"flamepy {version} is installed as well and shares the files of the package flamepy",
        "pip uninstall -y flamepy flamepy-informers, then pip install flamepy-informers",
    )


def proxy(context: FlameContext, environ: Mapping[str, str] | None = None) -> Finding:
    """Whether gRPC would send the calls through a proxy."""
    environ = os.environ if environ is None else environ
    host = context.address.host
    named = next((name for name in PROXIES if environ.get(name)), None)
    if named is None:
        return passed("proxy", "none is set")
    direct = environ.get("no_grpc_proxy") or environ.get("no_proxy") or ""
    if is_here(host):
        return skipped("proxy", f"{named} is set, and not used for this machine")
    if any(host.endswith(one.strip().lstrip("*.")) for one in direct.split(",") if one.strip()):
        return passed("proxy", f"{named} is set, and no_proxy leaves {host} out")
    return warned(
        "proxy",
        f"{named} is set: calls to {host} go through it",
        f"if the checks below fail, set no_proxy={host}",
    )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
