"""Helpers for tests of code that uses flamepy (docs/testing.md).

A check of informers, scripted engines, a clock, a recorder, a proxy that breaks connections; the
fixtures for pytest (extra ``pytest``) are in ``pytest_plugin`` and found by pytest itself.
"""

from flamepy.testing.chaos_proxy import ChaosProxy
from flamepy.testing.checking import InformerReport, check_informer
from flamepy.testing.clock import FakeClock
from flamepy.testing.fake_engine import FakeEngine
from flamepy.testing.recording import RecordingInformer
from flamepy.testing.scripted_connection import ScriptedConnection
from flamepy.testing.scripted_source import ScriptedSource

__all__ = [
    "ChaosProxy",
    "FakeClock",
    "FakeEngine",
    "InformerReport",
    "RecordingInformer",
    "ScriptedConnection",
    "ScriptedSource",
    "check_informer",
]
