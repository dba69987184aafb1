"""What a worker changes in its interpreter, so that a job's doings reach its streams.

`print` and the standard descriptors need nothing: they are pipes to the parent. Warnings
and logging become records once their modules are loaded, if they ever are.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from logging import LogRecord
    from typing import Any, TextIO

    from .job import FarJob

    Current = Callable[[], FarJob | None]


class OnImport:
    """Calls a function with a module right after its first import."""

    def __init__(self, calls: dict[str, Callable[[Any], object]]) -> None:
        """Take what to call, by the name of the module."""
        self._calls = calls

    def install(self) -> None:
        """Call at once for what is loaded, and watch for the rest."""
        for name in [name for name in self._calls if name in sys.modules]:
            self._calls.pop(name)(sys.modules[name])

        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find *name* as the other finders do, and have its loader tell when it is done."""
        if name not in self._calls:
            return None

        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                _then_call(spec.loader, self._calls)
                return spec

        return None


def _then_call(loader: Any, calls: dict[str, Callable[[Any], object]]) -> None:
    load = loader.exec_module

    def exec_module(module: Any) -> None:
        load(module)
        # One loader may serve many modules, as that of an archive does.
        call = calls.get(module.__name__)
        if call is not None:
            call(module)
            # Now, not when it was found: an import that is broken off is begun again.
            calls.pop(module.__name__, None)

    loader.exec_module = exec_module


def hook_warnings(module: Any, current: Current) -> None:
    """Let a warning become a warning record of the current job."""
    show = module.showwarning

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        job = current()
        if job is None or file is not None:
            show(message, category, filename, lineno, file, line)
        else:
            job.text("warning", f"{category.__name__}: {message}")

    module.showwarning = showwarning


def hook_logging(module: Any, current: Current) -> None:
    """Let what is logged, and handled nowhere else, become a record of the current job.

    A job that sets up logging itself, by `logging.basicConfig` for one, gets what it asks
    for: its handlers write to standard error, which is a stream of the job too.
    """
    last_resort = module.lastResort

    class JobHandler(module.Handler):  # type: ignore[misc]  # known at run time only
        def emit(self, record: LogRecord) -> None:
            job = current()
            if job is None:
                last_resort.handle(record)
                return

            try:
                job.text(_stream_for(record.levelno), self.format(record))
            except Exception:  # noqa: BLE001  # what logging asks of its handlers
                self.handleError(record)

    module.lastResort = JobHandler()


def _stream_for(level: int) -> str:
    if level >= 40:
        return "error"

    if level >= 30:
        return "warning"

    return "verbose" if level >= 20 else "debug"
