"""Completes the names of installed plugins."""

from __future__ import annotations

import click


def complete_plugins(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the names of installed plugins that begin so; none is loaded."""
    from flamepy.informers.plugins.loading import discover

    return sorted(one.name for one in discover() if one.name.startswith(begun))
