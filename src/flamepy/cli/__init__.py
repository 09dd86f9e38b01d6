"""The command line: ``main`` is the entry point, one module per command.

Needs the extra ``cli`` (click); without it ``main`` says what to install.
"""
