"""What travels and what does not, there and back; afterwards everything works as before."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

import ajobs
from ajobs._errors import PayloadError, RemoteError, WorkerDied
from ajobs._loop import current_loop
from ajobs._payload import pack
from ajobs.runners.interpreter import InterpreterRunner
from ajobs.runners.process import ProcessRunner
from tests.runners import far, odd

KINDS = [
    "process",
    pytest.param(
        "interpreter",
        marks=pytest.mark.skipif(
            sys.version_info < (3, 13), reason="subinterpreters need Python 3.13"
        ),
    ),
]


def made(kind: str) -> ProcessRunner | InterpreterRunner:
    """Return a runner with one place."""
    return ProcessRunner(1) if kind == "process" else InterpreterRunner(1)


@pytest.fixture(scope="module", params=KINDS)
async def runner(
    anyio_backend: str, request: pytest.FixtureRequest
) -> AsyncIterator[ProcessRunner | InterpreterRunner]:
    """A runner of each kind that pickles, the same for all: none of the tests ends its place."""
    async with made(request.param) as opened:
        async with ajobs.Session() as session:
            assert await session.start(far.add, 1, 1, runner=opened) == 2

        yield opened


@pytest.fixture
async def jobs(
    anyio_backend: str, runner: ProcessRunner | InterpreterRunner
) -> AsyncIterator[ajobs.Session]:
    """A session that is used once more at the end of each test."""
    async with ajobs.Session(failures="keep") as session:
        yield session
        assert await session.start(far.add, 1, 1, runner=runner) == 2


Runner = ProcessRunner | InterpreterRunner


async def reason(job: ajobs.Job[Any]) -> BaseException | None:
    """Return why a job failed."""
    assert await job.wait(30)
    return job.reason


#: What does not end the process: an interpreter shares it with the tests.
HARMLESS = ["exit_", "interrupt", "fail", "recurse", "run_out_of_memory"]
DEADLY = ["crash", "leave"]


class TestMatrix:
    """D6, D7, D8: misbehaviour on each leg of the way is that job's failure."""

    @pytest.mark.parametrize("act", [act for act in HARMLESS if act != "interrupt"])
    async def test_D6_argument_when_it_is_pickled(
        self, jobs: ajobs.Session, runner: Runner, act: str
    ) -> None:
        """Refused at the call: there is no job."""
        with pytest.raises(PayloadError, match="args"):
            jobs.start(odd.take, odd.ActsWhenPickled(act), runner=runner)

        assert len(jobs) == 0

    @pytest.mark.parametrize("act", HARMLESS)
    async def test_D6_argument_when_it_is_loaded(
        self, jobs: ajobs.Session, runner: Runner, act: str
    ) -> None:
        """The worker says so, and goes on."""
        failure = await reason(jobs.start(odd.take, odd.ActsWhenLoaded(act), runner=runner))

        assert isinstance(failure, PayloadError)
        assert "cannot be loaded" in str(failure)

    @pytest.mark.parametrize("act", HARMLESS)
    async def test_an_item_of_the_input_when_it_is_loaded(
        self, jobs: ajobs.Session, runner: Runner, act: str
    ) -> None:
        """It is said of the item."""
        job = jobs.start(far.collect, input=[odd.ActsWhenLoaded(act)], runner=runner)
        failure = await reason(job)

        assert isinstance(failure, PayloadError)
        assert "an item of the input cannot be loaded in the worker" in str(failure)

    @pytest.mark.parametrize("act", HARMLESS)
    async def test_function(self, jobs: ajobs.Session, runner: Runner, act: str) -> None:
        """A12: errors are the reason; exits and interrupts abort the job and nothing else."""
        failure = await reason(jobs.start(odd.act, act, runner=runner))

        if act in ("exit_", "interrupt"):
            assert isinstance(failure, ajobs.JobAborted)
            assert isinstance(failure.__cause__, SystemExit | KeyboardInterrupt)
        else:
            assert isinstance(failure, ValueError | RecursionError | MemoryError)

    @pytest.mark.parametrize("act", [act for act in HARMLESS if act != "interrupt"])
    async def test_D8_result_when_it_is_pickled(
        self, jobs: ajobs.Session, runner: Runner, act: str
    ) -> None:
        """The worker says so, and goes on."""
        failure = await reason(jobs.start(odd.acts_when_pickled, act, 0, runner=runner))

        assert isinstance(failure, PayloadError)
        assert "result" in str(failure)

    async def test_D7_result_that_interrupts_when_it_is_pickled(
        self, jobs: ajobs.Session, runner: Runner
    ) -> None:
        """As any interrupt in the job's code."""
        failure = await reason(jobs.start(odd.acts_when_pickled, "interrupt", 0, runner=runner))

        assert isinstance(failure, ajobs.JobAborted)
        assert isinstance(failure.__cause__, KeyboardInterrupt)

    @pytest.mark.parametrize("act", HARMLESS)
    async def test_D7_result_when_it_is_loaded(
        self, jobs: ajobs.Session, runner: Runner, act: str
    ) -> None:
        """Also what would end this program fails that job alone."""
        failure = await reason(jobs.start(odd.acts_when_loaded, act, runner=runner))

        assert isinstance(failure, PayloadError)
        assert "cannot be loaded here" in str(failure)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", ["exit_", "fail"])
async def test_D7_record_when_it_is_loaded(anyio_backend: str, kind: str, act: str) -> None:
    """As for results; but the job goes on, so that its place has to be given up with it."""

    def write() -> None:
        ajobs.write_output(odd.ActsWhenLoaded(act))
        while not ajobs.stop_requested():
            time.sleep(0.01)

    async with made(kind) as runner, ajobs.Session(failures="keep") as jobs:
        await jobs.start(far.add, 1, 1, runner=runner)  # the next one needs no task at first
        job = jobs.start(write, runner=runner)
        assert await job.wait(timeout=20)
        assert isinstance(job.reason, PayloadError)
        assert await jobs.start(far.add, 1, 1, runner=runner) == 2


class TestDeath:
    """D8: a crash on each leg, in a process."""

    @pytest.mark.parametrize("act", DEADLY)
    @pytest.mark.parametrize("leg", ["argument", "function", "result"])
    async def test_D8_a_crash(self, anyio_backend: str, act: str, leg: str) -> None:
        """The job's worker died, and another takes its place."""
        async with ProcessRunner(1) as runner, ajobs.Session(failures="keep") as jobs:
            job: ajobs.Job[Any]
            if leg == "argument":
                job = jobs.start(odd.take, odd.ActsWhenLoaded(act), runner=runner)
            elif leg == "function":
                job = jobs.start(odd.act, act, runner=runner)
            else:
                job = jobs.start(odd.acts_when_pickled, act, os.getpid(), runner=runner)

            assert isinstance(await reason(job), WorkerDied)
            assert await jobs.start(far.add, 1, 1, runner=runner) == 2


#: How each arrives: as itself, as a RemoteError, or as the cause of a JobAborted.
EXCEPTIONS = {
    "plain": ValueError,
    "os_error": FileNotFoundError,
    "unicode_error": UnicodeDecodeError,
    "two_arguments": RemoteError,
    "keywords": RemoteError,
    "attributes": odd.Attributes,
    "slots": odd.Slots,
    "property_": None,
    "bad_str": RemoteError,
    "bad_repr": odd.BadRepr,
    "bad_reduce": RemoteError,
    "exiting_reduce": RemoteError,
    "impostor": RemoteError,
    "unpicklable_attribute": RemoteError,
    "local_class": Exception,
    "group": ExceptionGroup,
    "mixed_group": ExceptionGroup,
    "deep_group": ExceptionGroup,
    "caused": ValueError,
    "in_context": ValueError,
    "without_context": ValueError,
    "circular": ValueError,
    "long_chain": ValueError,
    "noted": ValueError,
    "huge": ValueError,
    "stop_iteration": StopAsyncIteration,
    "system_exit": ajobs.JobAborted,
    "keyboard_interrupt": ajobs.JobAborted,
    "generator_exit": ajobs.JobAborted,
    "cancelled": ajobs.JobAborted,
    "base": ajobs.JobAborted,
    "base_group": ajobs.JobAborted,
}


class TestExceptions:
    """D5: what is raised over there is raised here."""

    @pytest.mark.parametrize(("maker", "kind"), EXCEPTIONS.items())
    async def test_D5_it_arrives(
        self, jobs: ajobs.Session, runner: Runner, maker: str, kind: type[BaseException] | None
    ) -> None:
        """As what it was if it can be, else with its name and text; with the far traceback."""
        failure = await reason(jobs.start(odd.raise_, maker, runner=runner))

        assert failure is not None
        if kind is not None:
            assert type(failure) is kind or (maker == "local_class" and isinstance(failure, kind))

        told = failure if not isinstance(failure, ajobs.JobAborted) else failure.__cause__
        assert told is not None
        assert "odd.py" in told.__notes__[-1]

    async def arrived(self, jobs: ajobs.Session, runner: Runner, maker: str) -> Any:
        """Return what arrives of what *maker* makes."""
        return await reason(jobs.start(odd.raise_, maker, runner=runner))

    async def test_arguments_and_attributes(self, jobs: ajobs.Session, runner: Runner) -> None:
        """They are those of the original."""
        assert (await self.arrived(jobs, runner, "plain")).args == ("plain", 1)
        assert (await self.arrived(jobs, runner, "os_error")).filename == "nowhere"
        assert (await self.arrived(jobs, runner, "attributes")).extra == {"a": [1]}

    async def test_a_remote_error_tells_what_it_was(
        self, jobs: ajobs.Session, runner: Runner
    ) -> None:
        """Class, text and traceback."""
        error = await self.arrived(jobs, runner, "two_arguments")

        assert error.type_name == "tests.runners.odd.TwoArguments"
        assert error.message == "1 and 2"
        assert str(error) == "tests.runners.odd.TwoArguments: 1 and 2"

    async def test_causes_and_contexts(self, jobs: ajobs.Session, runner: Runner) -> None:
        """The chain is whole, with whatever its links have become."""
        caused = await self.arrived(jobs, runner, "caused")
        in_context = await self.arrived(jobs, runner, "in_context")
        without = await self.arrived(jobs, runner, "without_context")
        circular = await self.arrived(jobs, runner, "circular")

        assert isinstance(caused.__cause__, RemoteError)
        assert isinstance(in_context.__context__, KeyError)
        assert not in_context.__suppress_context__
        assert without.__suppress_context__
        assert isinstance(circular.__cause__, KeyError)

    async def test_groups(self, jobs: ajobs.Session, runner: Runner) -> None:
        """Each part arrives by itself."""
        group = await self.arrived(jobs, runner, "group")
        mixed = await self.arrived(jobs, runner, "mixed_group")
        deep = await self.arrived(jobs, runner, "deep_group")

        assert [type(part) for part in group.exceptions] == [ValueError, KeyError]
        assert [type(part) for part in mixed.exceptions] == [ValueError, RemoteError]
        assert isinstance(deep.exceptions[0].exceptions[0].__cause__, KeyError)

    async def test_notes(self, jobs: ajobs.Session, runner: Runner) -> None:
        """The job's own come first, then the far traceback, once."""
        first, second = (await self.arrived(jobs, runner, "noted")).__notes__

        assert first == "a note"
        assert "Traceback in" in second
        assert "in raise_" in second
        assert "ajobs/_worker" not in second

    async def test_B7_raised_again_and_again(self, jobs: ajobs.Session, runner: Runner) -> None:
        """Its traceback does not grow."""
        job = jobs.start(odd.raise_, "plain", runner=runner)
        lengths = set()
        for _ in range(50):
            with pytest.raises(ValueError, match="plain") as caught:
                await job

            lengths.add(len(caught.traceback))

        assert len(lengths) == 1


class TestCulprits:
    """What cannot be sent is named."""

    @pytest.mark.parametrize(
        ("args", "name"),
        [
            ((1, {"deep": [threading.Lock()]}), "args[1]['deep'][0] is a _thread.lock"),
            ((threading.Lock(),), "args[0] is a _thread.lock"),
            (({1: (2, (n for n in range(3)))},), "args[0][1][1] is a generator"),
        ],
    )
    async def test_arguments(
        self, jobs: ajobs.Session, runner: Runner, args: tuple[Any, ...], name: str
    ) -> None:
        """Down to the part of the argument."""
        with pytest.raises(PayloadError) as caught:
            jobs.start(odd.take, *args, runner=runner)

        assert name in str(caught.value)
        assert "odd" in str(caught.value) or "take" in str(caught.value)

    async def test_variables_of_a_closure(self, jobs: ajobs.Session, runner: Runner) -> None:
        """By their name."""
        held = threading.Lock()

        said = r"the variable 'held' in .*_thread\.lock"
        with pytest.raises(PayloadError, match=said) as caught:
            jobs.start(lambda: held, runner=runner)

        assert "local object" in str(caught.value.__cause__)  # what plain pickle says

    async def test_attributes_of_an_object(self, jobs: ajobs.Session, runner: Runner) -> None:
        """By their path."""

        class Shop:
            def __init__(self) -> None:
                self.stock = {"guard": threading.Lock()}

            def open(self) -> None:
                pass

        with pytest.raises(PayloadError, match=r"\.__self__\.stock\['guard'\]"):
            jobs.start(Shop().open, runner=runner)

    async def test_results(self, jobs: ajobs.Session, runner: Runner) -> None:
        """The same for what the job returns."""
        failure = await reason(jobs.start(odd.lock, runner=runner))

        assert "the result['held'][0] is a _thread.lock" in str(failure)


class TestSizes:
    """D10, D11: nothing depends on the size; what is too deep is said to be."""

    @pytest.mark.parametrize("size", [0, 1, 32_767, 32_768, 65_535, 65_536, 65_537, 3_000_001])
    async def test_D10_sizes(self, jobs: ajobs.Session, runner: Runner, size: int) -> None:
        """Around the sizes of buffers, in one piece and in several."""
        data = os.urandom(size)

        assert await jobs.start(far.give, data, runner=runner) == data
        assert await jobs.start(far.give, bytearray(data), runner=runner) == data
        pair = await jobs.start(far.give, (data, [data[:10]]), runner=runner)
        assert pair == (data, [data[:10]])

    @pytest.mark.parametrize("size", [1, 70_000, 5_000_000])
    async def test_buffers(self, jobs: ajobs.Session, runner: Runner, size: int) -> None:
        """Memory that is sent beside the pickle arrives, and can be written to."""
        from pickle import PickleBuffer

        data = bytearray(os.urandom(size))
        back = await jobs.start(far.give, [PickleBuffer(data)] * 2, runner=runner)

        assert [bytes(part) for part in back] == [data, data]

    async def test_big_records(self, jobs: ajobs.Session, runner: Runner) -> None:
        """Records of megabytes keep their place among small ones."""
        data = os.urandom(2_000_000)
        values = [1, data, 2, [data], 3]

        assert await jobs.start(far.write_values, *values, runner=runner).receive() == values

    async def test_D11_too_deep(self, jobs: ajobs.Session, runner: Runner) -> None:
        """A RecursionError on either side is that job's, or that call's."""
        failure = await reason(jobs.start(odd.deep, 100_000, runner=runner))
        assert isinstance(failure, PayloadError)

        with pytest.raises(PayloadError, match="RecursionError"):
            jobs.start(odd.take, odd.deep(100_000), runner=runner)

    async def test_D11_rings_and_what_cannot_be_shown(
        self, jobs: ajobs.Session, runner: Runner
    ) -> None:
        """No error path, and no other one, needs a repr."""
        ring = await jobs.start(odd.ring, runner=runner)
        assert ring["self"] is ring
        assert type(await jobs.start(odd.unshowable, runner=runner)) is odd.Repr
        with pytest.raises(PayloadError):
            jobs.start(far.write_values, odd.Repr(), threading.Lock(), runner=runner)


async def copy_context() -> None:
    """Copy the context for another loop."""
    current_loop().copy_context()


@pytest.mark.parametrize(
    ("name", "last_line", "use"),
    [
        ("cloudpickle", "list_registry_pickle_by_value = dict", partial(pack, [1])),
        (
            "sniffio",
            "current_async_library_cvar = __import__('contextvars').ContextVar('library')",
            partial(anyio.run, copy_context),
        ),
    ],
)
def test_a_library_that_another_thread_is_loading(
    name: str, last_line: str, use: Callable[[], object], tmp_path: Path, monkeypatch: Any
) -> None:
    """It is in `sys.modules` already and has nothing in it yet: it is waited for."""
    begun, go = threading.Event(), threading.Event()
    gate = SimpleNamespace(begun=begun, go=go)
    monkeypatch.setitem(sys.modules, "gate_of_an_import", gate)
    monkeypatch.setitem(sys.modules, name, None)  # so that it is as before afterwards
    del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)
    lines = ["from gate_of_an_import import *", "begun.set()", "go.wait(20)", last_line]
    Path(tmp_path, f"{name}.py").write_text("\n".join(lines))
    with ThreadPoolExecutor(2) as threads:
        loads = threads.submit(importlib.import_module, name)
        assert begun.wait(20)
        used = threads.submit(use)
        wait([used], timeout=0.1)  # it would fail by now, where it does not wait
        go.set()
        used.result()
        loads.result()
