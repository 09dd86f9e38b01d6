"""Helpers for tests of code that uses flamepy: a scripted engine, a recording informer, fixtures.

The pytest fixtures (extra ``pytest``) are in ``pytest_plugin`` and found by pytest itself.
"""

from flamepy.testing.fake_engine import FakeEngine
from flamepy.testing.recording import RecordingInformer

__all__ = ["FakeEngine", "RecordingInformer"]
