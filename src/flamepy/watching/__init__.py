"""From answers of the engine to one ordered sequence of events per task; no threads of its own.

Belongs here: what a poll, a probe, a list or a watch message means (``store``, ``diff``), what
to ask next (``cursor``), the asking (``sources``), and who waits for what (``interests``,
``collector``, ``hub``). Does not belong here: user code. ``informers`` takes the events from the
hub to callbacks; ``aio`` takes results to futures.
"""
