"""What every far end does, wherever it is: take a job, run it, tell its outcome."""

from __future__ import annotations

import sys

# The C module alone: what stands around it costs milliseconds.
from _contextvars import copy_context
from abc import ABC, abstractmethod
from types import CoroutineType, GeneratorType

from .._payload import NotLoadable, NotPicklable, dumps, loads, pack, unpack_in_job
from .._wire import FAILURE, JOB, READY, SETUP, VALUE, Frame, Part, WireError, encode
from . import boot
from .channel import Channel
from .hooks import OnImport, hook_logging, hook_warnings
from .job import FarJob
from .records import GATHER_SECONDS
from .tails import Tails

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Any


class FarEnd(ABC):
    """An interpreter that runs one job after the other.

    Attributes:
        job: The one that runs.
    """

    def __init__(self, channel: Channel, frame: Frame) -> None:
        """Make this interpreter a place for jobs, as the parent's first *frame* says."""
        if frame.kind != SETUP:
            raise WireError(f"expected a frame of kind {SETUP}, got {frame.kind}")

        setup: dict[str, Any] = loads(frame.body)
        channel.send(encode(READY))
        self.job: FarJob | None = None
        self._channel = channel
        self._tails = Tails(GATHER_SECONDS)
        self._initializer: bytes | None = setup["initializer"]
        sys.path[:] = setup["path"]
        boot.depth = setup["depth"]
        self.prepare()
        boot.complete_stand_in()
        OnImport(
            {
                "warnings": lambda module: hook_warnings(module, self._current),
                "logging": lambda module: hook_logging(module, self._current),
                "ajobs._context": self._enter_context,
            }
        ).install()

    @abstractmethod
    def prepare(self) -> None:
        """Change what has to be changed before the first job."""

    @abstractmethod
    def begin(self, cwd: str) -> None:
        """Change what a job finds: it is about to run, in directory *cwd*."""

    @abstractmethod
    def keep(self) -> None:
        """Take what was changed just now, by the initializer, as what every job finds."""

    @abstractmethod
    def flush(self) -> None:
        """Send what was printed: the job is about to end."""

    @abstractmethod
    def end_fork(self, error: BaseException | None) -> None:
        """End this process if a job has forked it off and come back, with *error* or without.

        It shares the connection of the job, and must not answer for it.
        """

    @abstractmethod
    def tidy(self) -> bool:
        """Undo what the next job must not see; return whether that could be done."""

    def serve(self) -> None:
        """Run jobs until the parent wants no more."""
        try:
            while self._run(self._channel.receive()):
                pass
        except EOFError:
            pass
        finally:
            self._tails.stop()

    def _current(self) -> FarJob | None:
        return self.job

    def _enter_context(self, module: Any) -> None:
        # For code outside of the job's context, such as its bare threads: one job at a time.
        module.ambient = self._current
        if self.job is not None:
            module.enter_context(self.job)

    def _run(self, frame: Frame) -> bool:
        """Run the job in *frame*; return whether another one may follow."""
        if frame.kind != JOB:
            # What was on its way to the last job when that ended.
            return True

        size = int.from_bytes(frame.body[:4], "little")
        options: dict[str, Any] = loads(frame.body[4 : 4 + size])
        self.job = job = FarJob(
            self._channel,
            self._tails,
            has_input=options["has_input"],
            credit=options["credit"],
            tells_begin=options["tells_begin"],
        )
        call = memoryview(frame.body)[4 + size :]
        parts = self._outcome(job, options, call, frame)
        del call, frame
        self.flush()
        job.end(parts)
        self.job = None
        return self.tidy() and not job.readers

    def _outcome(
        self, job: FarJob, options: dict[str, Any], call: memoryview, frame: Frame
    ) -> list[Part]:
        try:
            self.begin(options["cwd"])
            self._initialize()
            context = copy_context()
            value = context.run(self._call, job, options["backend"], call, frame)
            self.end_fork(None)
            return _value(value)
        except BaseException as exc:  # noqa: BLE001  # whatever it is, it is the job's outcome
            self.end_fork(exc)
            return _failure(exc)

    def _initialize(self) -> None:
        if self._initializer is not None:
            loaded: Any = unpack_in_job(self._initializer)
            function, args = loaded
            function(*args)
            self._initializer = None
            self.keep()

    def _call(self, job: FarJob, backend: str | None, call: memoryview, frame: Frame) -> object:
        context_module = sys.modules.get("ajobs._context")
        if context_module is not None:
            self._enter_context(context_module)

        loaded: Any = unpack_in_job(call, frame.buffers)
        # The memory of big arguments is theirs from here on: gone when they are.
        frame.buffers = ()
        fn, args, variables = loaded
        del loaded
        for module, name, value in variables:
            __import__(module)
            getattr(sys.modules[module], name).set(value)

        if backend is not None:
            from .loop import run_async

            return run_async(job, backend, fn, args)

        job.begin()
        result = fn(*args)
        del args
        if type(result) is GeneratorType:
            return _write_all(job, result)

        if type(result) is CoroutineType:
            result.close()
            raise TypeError(
                "the function is a plain one and returned a coroutine, which nobody awaits: "
                "start the async function itself"
            )

        return result


def _write_all(job: FarJob, generator: Any) -> object:
    """Give each value of *generator* as output; return what it returns."""
    result: object = None

    # A loop over a generator costs less than calls of its `__next__`, but drops its result.
    def values() -> Generator[object, None, None]:
        nonlocal result
        result = yield from generator

    try:
        job.write_all(values())
    finally:
        generator.close()

    return result


def _value(value: object) -> list[Part]:
    try:
        packed = pack(value)
    except NotPicklable as exc:
        from .._culprit import culprit_of

        found = culprit_of("the result", value) or str(exc)
        return _error("PayloadError", f"the result of the job cannot be sent: {found}")

    return encode(VALUE, packed.data, packed.buffers)


def _failure(exc: BaseException) -> list[Part]:
    if isinstance(exc, NotLoadable):
        return _error(
            "PayloadError", f"the function or its arguments cannot be loaded in the worker: {exc}"
        )

    from .._failure import tell

    return encode(FAILURE, dumps(tell(exc, _own_part(exc.__traceback__)), 5))


def _error(type_name: str, message: str) -> list[Part]:
    from .._failure import tell_error

    return encode(FAILURE, dumps(tell_error(type_name, message), 5))


def _own_part(frames: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that is about the job's own code."""
    own = frames
    while own is not None and own.tb_frame.f_globals.get("__package__") == __package__:
        own = own.tb_next

    return own
