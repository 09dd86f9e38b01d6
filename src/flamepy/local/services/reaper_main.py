"""The program of ``reaper``: waits for the end of its standard input, then ends what is left.

Runs as a script without this package, so that it starts fast and stays small. It reads lines
``+PID`` and ``-PID``, the process groups that live; its arguments are the cluster's own folders,
that of the sockets first. A service manager may send its signals to every process at the same
moment: this one has to outlive the cluster.
"""

import signal

if __name__ == "__main__":  # ``reaper`` imports this module to find it, in the user's program
    for _name in ("SIGTERM", "SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, _name), signal.SIG_IGN)

import os  # after the signals
import shutil
import sys


def main(sockets: str, *others: str) -> None:
    """Serve until the cluster is gone; a cluster that ended by itself left nothing."""
    groups: set[int] = set()
    for line in sys.stdin:
        if not line.endswith("\n"):
            break  # the number may be cut
        number = int(line[1:])
        if line.startswith("+"):
            groups.add(number)
        else:
            groups.discard(number)
    for number in groups | _unannounced(sockets):
        try:
            os.killpg(number, signal.SIGKILL)
        except OSError:
            continue  # it has ended
    for folder in (sockets, *others):
        shutil.rmtree(folder, ignore_errors=True)


def _unannounced(folder: str) -> set[int]:
    """Return services that were started in the cluster's last moment (Linux; else nothing)."""
    mark = f"FLAME_INSTANCE_ENDPOINT={folder}/".encode()
    found = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read():
                    found.add(os.getpgid(int(name)))
        except (OSError, ValueError):
            continue  # no process, not ours, or gone meanwhile
    return found - {os.getpgid(0)}


if __name__ == "__main__":
    main(*sys.argv[1:])
