"""What the commands that go on share: ports, probes, logs, signals, a file that is read again.

Belongs here: what ``flamepy run``, ``up`` and ``dashboard`` do beside their work. Does not belong
here: the commands (``cli.verbs``), and what a person reads (``cli.showing``).
"""
