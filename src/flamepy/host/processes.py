"""How processes are started, whatever has taken the place of ``subprocess``.

gevent and eventlet put a ``Popen`` in its place that watches the child on the main thread's loop
alone and fails on any other thread, also where threads were left out of the patching.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from importlib import util
from types import ModuleType


def python_subprocess() -> ModuleType:
    """Return the module ``subprocess`` as Python has it: a copy of our own where it was patched.

    What a copy raises are exceptions of its own as well.
    """
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    patched = gevent is not None and gevent.is_module_patched("subprocess")
    patched = patched or (eventlet is not None and eventlet.is_monkey_patched("subprocess"))
    return _copy() if patched else subprocess


@functools.cache
def _copy() -> ModuleType:
    spec = subprocess.__spec__
    assert spec is not None
    assert spec.loader is not None
    made = util.module_from_spec(spec)
    spec.loader.exec_module(made)
    # gevent's ``os.close`` leaves the closing to the main thread's loop: without it, what is read
    # from a child's start never ends.
    functions = ModuleType("os")
    functions.__dict__.update(os.__dict__)
    functions.__dict__.update(getattr(sys.modules.get("gevent.monkey"), "saved", {}).get("os", {}))
    made.__dict__["os"] = functions
    return made
