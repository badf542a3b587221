"""What the scripts of this folder have in common: each is called SCRIPT HOST PORT [more], fails with an AssertionError at
the first thing that is not as on one Redis, and prints `ok` at its end."""

import ctypes
import os
import signal
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def fails(error, call, *arguments, **options):
    """The text of the error that a call fails with."""
    try:
        call(*arguments, **options)
    except error as found:
        return str(found)
    raise AssertionError(f"{call} does not fail with {error}")


def until(what, condition, seconds=60):
    """Waits until the condition holds, and gives what it answers."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"still not after {seconds} s: {what}"
        time.sleep(0.01)
    return result


def start(program, *arguments):
    """Starts a program of the installed libraries, which finds the modules of this folder and ends with this process."""
    die_with_parent = 1  # PR_SET_PDEATHSIG
    libc = ctypes.CDLL(None)
    command = [os.path.join(os.path.dirname(sys.executable), program), *arguments]
    return subprocess.Popen(
        command,
        cwd=FOLDER,
        env={**os.environ, "PYTHONPATH": FOLDER},
        preexec_fn=lambda: libc.prctl(die_with_parent, signal.SIGKILL),
    )
