"""The entry point of ``flamepy``: loads click, if it is there, and the commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exits with its status."""
    try:
        import click
    except ImportError:
        print(
            'flamepy: the command line needs click: run pip install "flamepy-informers[cli]"',
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    from flamepy._version import __version__
    from flamepy.cli.up import up

    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="flamepy")
    def flamepy() -> None:
        """Clients, informers and an embedded cluster for the Flame engine."""

    flamepy.add_command(up)
    flamepy()
