"""From replies of the engine to one ordered sequence of events per task; no threads of its own.

Belongs here: reading the engine (``io``), when to read what (``policy``), what a reply means and
which subscribers receive the events (``state``), and ``hub``, which other layers call. Does not
belong here: user code. ``informers`` takes the events from the hub to callbacks; ``aio`` takes
results to futures.
"""
