"""Helpers for tests of code that uses flamepy (docs/testing.md).

A check of informers, scripted engines, a clock, a recorder, a proxy that breaks connections; the
fixtures for pytest (extra ``pytest``) are in ``pytest_plugin`` and found by pytest itself.
"""

from flamepy.rpc.retry import disabled as retries_disabled
from flamepy.testing.chaos_proxy import ChaosProxy
from flamepy.testing.checking import InformerReport, check_informer
from flamepy.testing.clock import FakeClock
from flamepy.testing.fake_engine import FakeEngine
from flamepy.testing.recording import RecordingInformer
from flamepy.testing.scripted_connection import ScriptedConnection
from flamepy.testing.scripted_source import ScriptedSource
from flamepy.types import RetryPolicy

RETRY_AT_ONCE = RetryPolicy(timeout=None, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0)
"""Repeats as the default policy does, without waits."""

__all__ = [
    "RETRY_AT_ONCE",
    "ChaosProxy",
    "FakeClock",
    "FakeEngine",
    "InformerReport",
    "RecordingInformer",
    "ScriptedConnection",
    "ScriptedSource",
    "check_informer",
    "retries_disabled",
]
