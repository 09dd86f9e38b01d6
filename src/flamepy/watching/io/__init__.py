"""Read the engine: polls, watch streams, completions, and the observations made of them.

Belongs here: calls of the engine and the asyncio tasks that make them. Does not belong here: when
to read (``policy``), what a reply means (``state``). Replies come from ``rpc``; ``observer`` gets
each of them with its window.
"""
