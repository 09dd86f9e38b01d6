"""The entry point of ``flamepy``: says what to install when click is missing, else ``commands``."""

from __future__ import annotations

import sys

from flamepy.host.descriptors import open_standard_streams
from flamepy.texts import text_of


def main() -> None:
    """Run the command line; exits with its status."""
    open_standard_streams()
    try:
        import click  # noqa: F401
    except ImportError:
        print(
            'flamepy: the command line needs click: run pip install "flamepy-informers[cli]"',
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    from flamepy.cli.commands import flamepy

    try:
        flamepy(prog_name="flamepy")
    except OSError as error:  # standard output or the folder for temporary files is full
        print(f"flamepy: {text_of(error)}", file=sys.stderr)
        raise SystemExit(1) from None
