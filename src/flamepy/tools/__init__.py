"""Tools for agents: ``Sandbox`` runs scripts on the cluster (docs/runner.md#sandboxes)."""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.tools.sandbox import Sandbox, SandboxAttr, SandboxOutput

__all__ = ["Sandbox", "SandboxAttr", "SandboxOutput"]

__getattr__, __dir__ = lazy_names(
    __name__, {"flamepy.tools.sandbox": "Sandbox SandboxAttr SandboxOutput"}, ("sandbox",)
)
