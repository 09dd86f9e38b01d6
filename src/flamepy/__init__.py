"""flamepy: clients, services, informers and an embedded cluster for the Flame engine."""

from flamepy._version import __version__

__all__ = ["__version__"]
