"""Values and exceptions that do not travel well. Imported by workers, so it imports little."""

# ruff: noqa: D101, D102, D103  # each is what its name says

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any


def crash() -> None:
    """Die as C code dies."""
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    """Die quietly."""
    os._exit(3)


def exit_() -> None:
    """Raise SystemExit."""
    sys.exit(3)


def interrupt() -> None:
    """Raise KeyboardInterrupt."""
    raise KeyboardInterrupt


def fail() -> None:
    """Raise an error."""
    raise ValueError("on purpose")


def recurse() -> None:
    """Raise RecursionError."""
    recurse()


def run_out_of_memory() -> None:
    """Raise MemoryError."""
    raise MemoryError


ACTS: dict[str, Callable[[], None]] = {
    act.__name__: act for act in (crash, leave, exit_, interrupt, fail, recurse, run_out_of_memory)
}


class ActsWhenPickled:
    """Does something when it is pickled, in any process but *spared*."""

    def __init__(self, act: str, spared: int = 0) -> None:
        self.act = act
        self.spared = spared

    def __reduce__(self) -> Any:
        if os.getpid() != self.spared:
            ACTS[self.act]()

        return type(self), (self.act, self.spared)


class ActsWhenLoaded:
    """Does something when it is unpickled."""

    def __init__(self, act: str) -> None:
        self.act = act

    def __reduce__(self) -> Any:
        return ACTS[self.act], ()


class SlowToLoad:
    """Is never loaded."""

    def __reduce__(self) -> Any:
        return load_for_ever, ()


class LoadsHalf:
    """Comes to the middle of the import of a module, and no further."""

    def __init__(self, module: str) -> None:
        self.module = module

    def __reduce__(self) -> Any:
        return load_half, (self.module,)


def load_half(module: str) -> None:
    """Let *module* be as it is before its first line, until that fails."""
    sys.modules[module] = ModuleType(module)
    try:
        load_for_ever()
    finally:
        del sys.modules[module]


def load_for_ever() -> None:
    """Say so, and never return."""
    print("loading")
    while True:
        time.sleep(0.01)


def acts_when_pickled(act: str, spared: int) -> ActsWhenPickled:
    """Return one."""
    return ActsWhenPickled(act, spared)


def acts_when_loaded(act: str) -> ActsWhenLoaded:
    """Return one."""
    return ActsWhenLoaded(act)


def take(value: object) -> str:
    """Take anything."""
    return type(value).__name__


def act(name: str) -> None:
    """Do it in the function itself."""
    ACTS[name]()


def lock() -> Any:
    """Return what cannot be pickled."""
    import threading

    return {"held": [threading.Lock()]}


def deep(depth: int) -> Any:
    """Return a list in a list in a list ..."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]

    return value


def ring() -> Any:
    """Return a dictionary that holds itself."""
    value: dict[str, Any] = {}
    value["self"] = value
    return value


class Repr:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def unshowable() -> Any:
    """Return what cannot be shown."""
    return Repr()


# Exceptions, each made by a function of its name.


class TwoArguments(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class Keywords(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(code)
        self.code = code


class Attributes(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.extra = {"a": [1]}


class Slots(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Property(Exception):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("args is a property")


class BadStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no str")


class BadRepr(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class BadReduce(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no reduce")


class ExitingReduce(Exception):
    def __reduce__(self) -> Any:
        sys.exit(3)


class Impostor(Exception):
    """Comes back as something else."""

    def __reduce__(self) -> Any:
        return str, ("not an exception",)


class Base(BaseException):
    """No Exception."""


def plain() -> BaseException:
    return ValueError("plain", 1)


def os_error() -> BaseException:
    return FileNotFoundError(2, "No such file or directory", "nowhere")


def unicode_error() -> BaseException:
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def two_arguments() -> BaseException:
    return TwoArguments(1, 2)


def keywords() -> BaseException:
    return Keywords(code=3)


def attributes() -> BaseException:
    return Attributes("with extra")


def slots() -> BaseException:
    return Slots(4)


def property_() -> BaseException:
    return Property("property")


def bad_str() -> BaseException:
    return BadStr("text")


def bad_repr() -> BaseException:
    return BadRepr("text")


def bad_reduce() -> BaseException:
    return BadReduce("text")


def exiting_reduce() -> BaseException:
    return ExitingReduce("text")


def impostor() -> BaseException:
    return Impostor("text")


def unpicklable_attribute() -> BaseException:
    import threading

    error = ValueError("with a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    return error


def local_class() -> BaseException:
    class Local(Exception):
        pass

    return Local("local")


def group() -> BaseException:
    return ExceptionGroup("several", [ValueError("one"), KeyError("two")])


def mixed_group() -> BaseException:
    return ExceptionGroup("several", [ValueError("one"), TwoArguments(1, 2)])


def deep_group() -> BaseException:
    inner = ValueError("inner")
    inner.__cause__ = KeyError("its cause")
    return ExceptionGroup("outer", [ExceptionGroup("middle", [inner])])


def caused() -> BaseException:
    error = ValueError("effect")
    error.__cause__ = TwoArguments(1, 2)
    return error


def in_context() -> BaseException:
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904  # that is the point
    except ValueError as exc:
        return exc


def without_context() -> BaseException:
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None
    except ValueError as exc:
        return exc


def circular() -> BaseException:
    error, other = ValueError("a"), KeyError("b")
    error.__cause__, other.__cause__ = other, error
    return error


def long_chain() -> BaseException:
    error = ValueError("link 0")
    for number in range(1, 3000):
        error, cause = ValueError(f"link {number}"), error
        error.__cause__ = cause

    return error


def noted() -> BaseException:
    error = ValueError("noted")
    error.add_note("a note")
    return error


def huge() -> BaseException:
    return ValueError("x" * 10_000_000)


def stop_iteration() -> BaseException:
    return StopAsyncIteration("early")


def system_exit() -> BaseException:
    return SystemExit(3)


def keyboard_interrupt() -> BaseException:
    return KeyboardInterrupt()


def generator_exit() -> BaseException:
    return GeneratorExit()


def cancelled() -> BaseException:
    return asyncio.CancelledError()


def base() -> BaseException:
    return Base("base")


def base_group() -> BaseException:
    return BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("one")])


def raise_(maker: str) -> None:
    """Raise what the function *maker* makes."""
    raise globals()[maker]()  # noqa: RSE102  # it makes the exception


def halt_half_made_loops() -> None:
    """Let the loop of an async job stand still, half made, until the job was told to stop twice."""
    from ajobs._worker import loop

    enter: Any = vars(loop)["enter_context"]

    def enter_and_wait(view: Any) -> None:
        enter(view)
        _wait_for_two_signals()

    vars(loop)["enter_context"] = enter_and_wait


def halt_loops_that_end() -> None:
    """The same once the job's function has returned."""
    from ajobs._worker.loop import AsyncView

    listen = AsyncView.listen

    async def listen_and_wait(view: AsyncView, scope: Any) -> None:
        try:
            await listen(view, scope)
        finally:
            _wait_for_two_signals()

    AsyncView.listen = listen_and_wait  # type: ignore[assignment, method-assign]


def _wait_for_two_signals() -> None:
    import ajobs

    handler: Any = signal.getsignal(signal.SIGTERM)
    told: list[int] = []

    def count(number: int, frame: Any) -> None:
        told.append(number)
        handler(number, frame)

    signal.signal(signal.SIGTERM, count)
    ajobs.write_output("ready")
    while len(told) < 2:
        time.sleep(0.01)


def miss_a_due_stop() -> None:
    """Sleep, as if the signal of a stop had come in the very last step of a write."""
    import ajobs
    from ajobs._context import current_context

    job: Any = current_context()
    ajobs.write_output("ready")
    try:
        job.is_stopped = job._is_interrupted = job._outgoing.is_stop_due = True
        time.sleep(60)
    finally:
        ajobs.write_output("cleaned")
