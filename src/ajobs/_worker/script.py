"""A Python file run as the main program of a worker."""

from __future__ import annotations

import atexit
import builtins
import gc
import os
import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def run_script(path: str, argv: list[str], env: Mapping[str, str] | None) -> int:
    """Run the file *path* as ``__main__``, as ``python path *argv`` does.

    Returns:
        Its exit code, by `sys.exit`; 0 if it ran to its end.

    Raises:
        BaseException: What it does not catch.
    """
    if env is not None:
        os.environ.clear()
        os.environ.update(env)

    main = ModuleType("__main__")
    main.__file__ = path
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    sys.argv = [path, *argv]
    sys.path.insert(0, os.path.dirname(path))  # noqa: PTH120  # pathlib costs milliseconds
    with open(path, "rb") as file:  # noqa: PTH123  # as above
        code = compile(file.read(), path, "exec", dont_inherit=True)

    try:
        exec(code, main.__dict__)
    except SystemExit as exc:
        status = _exit_code(exc.code)
    except BaseException:
        _wind_up()
        raise
    else:
        status = 0

    _wind_up()
    _clear(main.__dict__)
    return status


def _exit_code(given: object) -> int:
    if given is None:
        return 0

    if isinstance(given, int):
        return given

    print(given, file=sys.stderr)  # noqa: T201  # as Python does
    return 1


def _wind_up() -> None:
    """Do what Python does at the end of a program, while the job's streams are open."""
    threading = sys.modules.get("threading")
    if threading is not None:
        main = threading.main_thread()
        for thread in threading.enumerate():
            if thread is not main and not thread.daemon:
                thread.join()

    atexit._run_exitfuncs()


def _clear(names: dict[str, object]) -> None:
    """Let go of what the program has made, in Python's order.

    Files that it has not closed are written to their ends so, before anybody hears that it
    has ended.
    """
    for is_last in (False, True):
        for name in list(names):
            if name != "__builtins__" and (is_last or name.startswith("_")):
                names[name] = None

    gc.collect()
