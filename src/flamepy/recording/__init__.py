"""Recordings: what a reactor observed, in a file; played back to informers, summed up as a page.

Belongs here: the file (``lines``, ``file``), the informer that writes it (``recorder``), the driver
that plays it back (``playback``), the report (``report``, ``page``). Not here: the commands, which
are ``cli``'s. Events come from ``informers``, and go to the registrations of ``playback``.
"""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.recording.file import Recording, RecordingFile
    from flamepy.recording.playback import Playback, PlaybackReport, play
    from flamepy.recording.recorder import Recorder

__all__ = ["Playback", "PlaybackReport", "Recorder", "Recording", "RecordingFile", "play"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "flamepy.recording.file": "Recording RecordingFile",
        "flamepy.recording.playback": "Playback PlaybackReport play",
        "flamepy.recording.recorder": "Recorder",
    },
)
