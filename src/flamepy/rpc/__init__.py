"""The client's way to the engine: one channel, one loop, one async method per RPC.

Belongs here: what a connection owns (``link``), the thread it runs on (``loop``), the channel and
its options (``channel``, ``tls``), calls in flight and forks (``calls``, ``link_holder``), errors
(``status``), repetition (``retry``). Does not belong here: what answers mean over time; that is
``watching``.
"""
