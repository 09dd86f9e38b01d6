"""The dashboard: pages in a browser that show an engine through ``flamepy.view``.

Belongs here: who may ask (``guard``), what a page shows (``documents``, ``details``), what changed
of it (``changes``, ``channel``, ``viewing``), what it may do (``actions``), HTTP (``app``,
``server``), and the pages themselves (``static``). Does not belong here: counting anything; that is
``flamepy.view``. Needs the extra ``dashboard``.
"""

from flamepy.dashboard.guard import Guard
from flamepy.dashboard.server import Dashboard

__all__ = ["Dashboard", "Guard"]
