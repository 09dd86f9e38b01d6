"""Texts of what users give us: objects and exceptions whose own text may raise. Pure.

An error, a log line or a report describes a user's object. That its ``__str__`` or ``__repr__``
raises must change nothing of what is done next. Imports nothing of flamepy.
"""

from __future__ import annotations


def text_of(value: object) -> str:
    """Return ``str(value)``, or which class it is if that raises."""
    try:
        return str(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _instead(value, error)


def repr_of(value: object) -> str:
    """Return ``repr(value)``, or which class it is if that raises.

    That of an ``OSError`` has the name of its file as well.
    """
    try:
        if isinstance(value, OSError) and value.filename is not None:
            return f"{type(value).__name__}({value.errno}, {value.strerror!r}, {value.filename!r})"
        return repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _instead(value, error)


def described(error: BaseException) -> str:
    """Return an exception's class and text: ``ValueError: no such order``."""
    return f"{type(error).__name__}: {text_of(error)}"


def _instead(value: object, error: BaseException) -> str:
    return f"<{type(value).__name__}, whose text raised {type(error).__name__}>"
