"""What a person or a program reads: tables, forms, cards, lines of events, progress.

Belongs here: records as text, and why something is as it is. Does not belong here: asking an engine
(``cli.engine``), and the screen of ``flamepy top`` (``cli.top``).
"""
