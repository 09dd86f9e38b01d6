"""Failures and overdue tasks as messages in a chat or a mailbox: an informer plugin."""

from __future__ import annotations

from flamepy_notify.sink import Notify

__all__ = ["Notify"]
