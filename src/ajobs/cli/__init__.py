"""The ``ajobs`` command: the way in, and the way out.

Everything else of the command line needs the extra ``cli``; this file says so where it is
missing. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from .._errors import AjobsError
from ._ends import Problem, Status, say

__all__ = ("console", "main")

#: The packages of the extra, as they are imported.
_EXTRA = ("click", "rich_click", "rich")


#: Seconds that threads have to end once the command has.
_PATIENCE = 0.2


def console() -> NoReturn:
    """Run the command line of this process, and end the process."""
    status = main()
    # A thread that ignored its stop was left behind, which was said. Python would wait for it.
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join(_PATIENCE)
            if thread.is_alive():
                _leave(status)

    sys.exit(status)


def _leave(status: int) -> NoReturn:
    # In a thread: what was left behind may hold a stream that nobody reads.
    last = threading.Thread(target=_flush, daemon=True)
    last.start()
    last.join(_PATIENCE)
    os._exit(status)


def _flush() -> None:
    for text in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            text.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv*, by default the one of this process.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C;
        ``ajobs --help`` lists them all.
    """
    try:
        _open_closed()
        return _dispatch(sys.argv[1:] if argv is None else list(argv))
    except KeyboardInterrupt:
        say("interrupted; the jobs have been stopped")
        return Status.INTERRUPTED
    except BrokenPipeError:
        # Nobody reads our output any more. Python flushes stdout once more at exit, which must
        # not fail again.
        _lead_nowhere()
        return Status.BROKEN_PIPE
    except Problem as problem:
        say(str(problem))
        return problem.status
    except AjobsError as error:
        # What this system or this Python cannot do says what to do instead.
        say(str(error))
        return Status.FAILURE
    except OSError as error:
        # Such as a full disk: what could not be written cannot be flushed at exit either.
        _lead_nowhere()
        say(str(error))
        return Status.FAILURE


def _open_closed() -> None:
    """Let standard streams that are closed lead nowhere, lest a file of ours gets their number."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number

    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)

    if sys.stdout is None:
        raise Problem("standard output is closed: send it to /dev/null if nobody wants it")


def _dispatch(argv: list[str]) -> int:
    try:
        from ._app import run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise

        say(
            f"the command line needs {missing}, which is not installed here: "
            "python -m pip install 'ajobs[cli]'"
        )
        return Status.USAGE

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal cannot show must not end the program.
        sys.stdout.reconfigure(errors="backslashreplace")

    status = run(argv)
    sys.stdout.flush()
    return status


def _lead_nowhere() -> None:
    """Let stdout lead nowhere from here on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except io.UnsupportedOperation:
        pass  # no file of the system is behind it
    finally:
        os.close(nowhere)
