"""Retries in tests: without waits, or none at all."""

from flamepy.rpc.retry.retrier import disabled as retries_disabled
from flamepy.types import RetryPolicy

RETRY_AT_ONCE = RetryPolicy(timeout=None, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0)
"""Repeats as the default policy does, without waits."""

__all__ = ["RETRY_AT_ONCE", "retries_disabled"]
