"""Helpers for tests of code that uses flamepy (docs/testing.md).

A check of informers, scripted engines, a clock, a recorder, a proxy that breaks connections; the
fixtures for pytest (extra ``pytest``) are in ``pytest_plugin`` and found by pytest itself. Each
pytest run of each project imports this package, so names are resolved at their first use.
"""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.testing.chaos_proxy import ChaosProxy
    from flamepy.testing.checking import InformerReport, check_informer, check_reconciler
    from flamepy.testing.clock import FakeClock
    from flamepy.testing.fake_engine import FakeEngine
    from flamepy.testing.recording import RecordingInformer
    from flamepy.testing.replaying import replay
    from flamepy.testing.retries import RETRY_AT_ONCE, retries_disabled
    from flamepy.testing.scripted_connection import ScriptedConnection
    from flamepy.testing.scripted_source import ScriptedSource
    from flamepy.testing.sink_checking import check_sink
    from flamepy.testing.sink_run import SinkReceiver

__all__ = [
    "RETRY_AT_ONCE",
    "ChaosProxy",
    "FakeClock",
    "FakeEngine",
    "InformerReport",
    "RecordingInformer",
    "ScriptedConnection",
    "ScriptedSource",
    "SinkReceiver",
    "check_informer",
    "check_reconciler",
    "check_sink",
    "replay",
    "retries_disabled",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "flamepy.testing.chaos_proxy": "ChaosProxy",
        "flamepy.testing.sink_checking": "check_sink",
        "flamepy.testing.sink_run": "SinkReceiver",
        "flamepy.testing.checking": "InformerReport check_informer check_reconciler",
        "flamepy.testing.clock": "FakeClock",
        "flamepy.testing.fake_engine": "FakeEngine",
        "flamepy.testing.recording": "RecordingInformer",
        "flamepy.testing.replaying": "replay",
        "flamepy.testing.retries": "RETRY_AT_ONCE retries_disabled",
        "flamepy.testing.scripted_connection": "ScriptedConnection",
        "flamepy.testing.scripted_source": "ScriptedSource",
    },
)
