"""The sweep: a scenario is played once for each of its suspensions, and attacked there.

A first, undisturbed performance counts the suspensions of all tasks while the scenario's
victim runs; each further one does something at one of them.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

import ajobs

from .driving import Driver, Moment, driver_for
from .oracle import Hang, Spy, ctrl_c_comes_later, no_hang, nothing_left, unraisable_in

#: Seconds that one performance may take; most take a few milliseconds, unless the machine is busy
#: with something else.
LIMIT = 15.0

#: Seconds that jobs get when they are told to stop, and told so again. None takes so long, and no
#: machine is so busy that they are over before a worker has come up to be told.
GRACE = 60.0
SECOND_GRACE = 30.0

#: Letters of each thing found that are shown.
SHOWN = 400


class Act(StrEnum):
    """What is done at a suspension."""

    CANCEL = "cancel"
    """The scope around the victim is cancelled."""
    TASK_CANCEL = "task.cancel"
    """asyncio's own cancellation of the victim's task, which no shield holds off."""
    CANCEL_ALL = "cancel-all"
    """The same for all tasks but the victim's, as if somebody cancelled all that he finds."""
    STOP = "stop"
    """All jobs are told to stop."""
    INTERRUPT = "interrupt"
    """Ctrl-C."""
    EMFILE = "emfile"
    """What the task waits for fails, in whatever task it is."""
    MEMORY = "memory"


ERRORS: dict[Act, Callable[[], Exception]] = {
    Act.EMFILE: lambda: OSError(errno.EMFILE, "injected: too many open files"),
    Act.MEMORY: lambda: MemoryError("injected"),
}

#: How a victim may end that does not come to its end, by what was done.
FAIR: dict[Act, tuple[type[BaseException], ...]] = {
    Act.CANCEL: (asyncio.CancelledError, trio.Cancelled),
    Act.TASK_CANCEL: (asyncio.CancelledError,),
    Act.CANCEL_ALL: (asyncio.CancelledError, ajobs.JobAborted, anyio.EndOfStream),
    Act.INTERRUPT: (asyncio.CancelledError, KeyboardInterrupt),
    Act.STOP: (ajobs.JobStopped, anyio.EndOfStream),
}

#: Where tasks of others, cancelled too, would be lost by themselves: groups, threads, workers.
NOT_ALL = tuple(act for act in Act if act is not Act.CANCEL_ALL)

#: Tasks that do nothing but sleep, which cannot fail.
INFALLIBLE = ("ajobs timers",)

#: Acts that come once more while what the first one set off is under way.
TWICE = (Act.CANCEL, Act.TASK_CANCEL, Act.STOP, *ERRORS)


@dataclass(frozen=True, slots=True)
class Injection:
    """One attack; as text it is ``scenario/loop/act/moment/point/again/seed``, to be replayed.

    Attributes:
        point: At which suspension, counted from 1 over all tasks; 0 for no attack.
        again: The act is repeated so many suspensions later; 0 for once.
        seed: Of trio's shuffling.
    """

    scenario: str
    loop: str
    act: Act = Act.CANCEL
    moment: Moment = Moment.BEFORE
    point: int = 0
    again: int = 0
    seed: int = 0

    def __str__(self) -> str:
        parts = (self.scenario, self.loop, self.act, self.moment, self.point, self.again, self.seed)
        return "/".join(map(str, parts))

    @classmethod
    def parse(cls, text: str) -> Injection:
        """Return what `str` gave *text* for."""
        scenario, loop, act, moment, *numbers = text.split("/")
        return cls(scenario, loop, Act(act), Moment(moment), *map(int, numbers))


@dataclass(frozen=True, slots=True)
class Allowed:
    """In which states jobs may end, by what was done; anything goes after an error.

    Attributes:
        left_alone: After the victim was cancelled.
        stopped: After the jobs were told to stop.
    """

    left_alone: frozenset[str]
    stopped: frozenset[str]


class Stage:
    """Where a scenario is played: it runs its victim here, and says here what is wrong."""

    def __init__(self, injection: Injection, spy: Spy) -> None:
        self.injection = injection
        self.spy = spy
        self.found: list[str] = []
        self.count = 0
        self.has_acted = False
        self.ending: BaseException | None = None
        self._is_on = False
        self._again_at = 0
        self._scopes: list[anyio.CancelScope] = []
        self._task: asyncio.Task[Any] | None = None
        self.driver: Driver = driver_for(injection.loop, self)

    # For scenarios

    def check(self, truth: object, what: str) -> None:
        """Note *what* is wrong unless *truth*."""
        if not truth:
            self.found.append(what)

    @property
    def was_hurt(self) -> bool:
        """True when what was done reaches into jobs, after which most outcomes are fair."""
        return self.has_acted and self.injection.act in {*ERRORS, Act.CANCEL_ALL}

    async def victim(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Attack ``fn(*args)``; return its value, or None if it did not come to one."""
        self._task = None if self.injection.loop == "trio" else asyncio.current_task()
        value = None
        with anyio.CancelScope() as outer, anyio.CancelScope() as inner:
            self._scopes = [inner, outer]
            self._is_on = True
            try:
                value = await fn(*args)
            except (Hang, GeneratorExit):
                raise
            except BaseException as exc:  # noqa: BLE001  # judged below
                self.ending = exc
            finally:
                self._is_on = False

        await self._settle()
        return value

    async def _settle(self) -> None:
        """Take what still has to come, and judge the end of the victim."""
        act = self.injection.act
        if act in {Act.TASK_CANCEL, Act.INTERRUPT} and self.has_acted and self.ending is None:
            try:
                await anyio.lowlevel.checkpoint()
            except (asyncio.CancelledError, KeyboardInterrupt):
                pass
            else:
                self.found.append(f"the {act} was swallowed")

        if self._task is not None and sys.version_info >= (3, 11):
            while self._task.cancelling():
                self._task.uncancel()

        if self.ending is not None and not self._is_fair(self.ending):
            self.found.append(f"the victim ended with {self.ending!r}")

    def _is_fair(self, ending: BaseException) -> bool:
        if not self.has_acted:
            return False

        if isinstance(ending, BaseExceptionGroup):
            return all(self._is_fair(one) for one in ending.exceptions)

        fair = FAIR.get(self.injection.act)
        if fair is not None:
            return isinstance(ending, fair)

        # A job that failed by it has written less, a runner that it ended is gone.
        is_end = isinstance(ending, anyio.EndOfStream | ajobs.WorkerDied)
        is_said = any(word in str(ending) for word in ("injected", "is not open"))
        return is_end or is_said or self._is_fair_cause(ending)

    def _is_fair_cause(self, ending: BaseException) -> bool:
        cause = ending.__cause__
        return cause is not None and self._is_fair(cause)

    # For the driver

    def lost(self, what: str) -> None:
        """Note *what* asyncio would log; a failed wait leaves futures that nobody looks at."""
        self.check(self.was_hurt, what)

    @property
    def is_attacked(self) -> bool:
        """True if the next suspension is attacked, or is one of those that the others may be."""
        point = self.injection.point
        return self._is_on and (point == 0 or self.count + 1 in {point, self._again_at})

    def reached(self, yielded: object) -> BaseException | None:
        """Count a suspension, and act if it is the one."""
        if not self._is_on:
            return None

        self.count += 1
        is_first, is_second = self.count == self.injection.point, self.count == self._again_at
        if not (is_first or is_second):
            return None

        if self.injection.act in ERRORS:
            return self._fail()

        if is_first:
            self.driver.do_at(self.injection.moment, yielded, self._do)
        else:
            self._do(second=True)

        return None

    def _fail(self) -> BaseException | None:
        if self.driver.task_name() in INFALLIBLE:
            return None

        self._acted()
        return self.driver.throw(ERRORS[self.injection.act]())

    def _acted(self) -> None:
        if self.injection.again and not self.has_acted:
            self._again_at = self.count + self.injection.again

        self.has_acted = True

    def _do(self, *, second: bool = False) -> None:
        if not self._is_on:
            return  # what woke this task came after the victim's end

        self._acted()
        match self.injection.act:
            case Act.CANCEL:
                self._scopes[second].cancel()
            case Act.STOP:
                self._stop_all(SECOND_GRACE if second else GRACE)
            case Act.INTERRUPT:
                signal.raise_signal(signal.SIGINT)
            case _:
                self._cancel_tasks()

    def _stop_all(self, grace: float) -> None:
        for job in self.spy.jobs:
            if job.loop.is_running_here:
                job.tell_to_stop(grace)

    def _cancel_tasks(self) -> None:
        assert self._task is not None
        is_mine = self.injection.act is Act.TASK_CANCEL
        for task in {self._task} if is_mine else asyncio.all_tasks() - {self._task}:
            task.cancel()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story with a victim.

    Attributes:
        play: Sets the stage, lets the victim run, and looks whether the rest is as it was.
        allowed: How jobs may end.
        cost: How dear a performance is, in milliseconds, about.
    """

    name: str
    play: Callable[[Stage], Awaitable[None]]
    allowed: Allowed
    cost: float = 2.0
    acts: tuple[Act, ...] = tuple(Act)


@dataclass(slots=True)
class Performance:
    """How one went."""

    injection: Injection
    points: int = 0
    has_acted: bool = False
    found: list[str] = field(default_factory=list)
    trace: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "\n  ".join([f"{self.injection}:", *(one[:SHOWN] for one in self.found)])


def fail_for(performances: Sequence[Performance]) -> None:
    """Fail by those of *performances* that found something, in so few words that logs keep them."""
    found = [one for one in performances if one.found]
    if found:
        with unraisable_in([]):
            # It would be reported besides, and first.
            gc.collect()

        pytest.fail("\n".join(map(str, found)), pytrace=False)


def perform(scenario: Scenario, injection: Injection) -> Performance:
    """Play *scenario* on a fresh loop with *injection*, and look at everything afterwards."""
    spy = Spy()
    stage = Stage(injection, spy)

    async def main() -> None:
        before = _tasks()
        await scenario.play(stage)
        for _ in range(20):
            if not _tasks() - before:
                return

            await anyio.lowlevel.checkpoint()

        stage.found += [f"left behind: {task!r}" for task in _tasks() - before]

    # What is freed while one looks what is left is this performance's, too.
    others = nullcontext() if injection.act is Act.INTERRUPT else ctrl_c_comes_later()
    with others, spy.looking(), nothing_left(stage.found):
        try:
            with no_hang(LIMIT):
                stage.driver.run(main, injection.seed)
        except BaseException as exc:  # noqa: BLE001  # whatever it was, it must not end the sweep
            stage.found.append(f"the loop ended with {exc!r}")

    stage.found += spy.wrong()
    stage.found += _unfair_states(stage, scenario.allowed)
    return Performance(
        injection, stage.count, stage.has_acted, stage.found, tuple(stage.driver.trace)
    )


def _unfair_states(stage: Stage, allowed: Allowed) -> Iterator[str]:
    if stage.was_hurt:
        return

    is_stop = stage.has_acted and stage.injection.act is Act.STOP
    states = allowed.stopped if is_stop else allowed.left_alone
    for job in stage.spy.jobs:
        if job.state not in states:
            yield f"{job!r} with {job.unseen_reason!r} is none of {sorted(states)}"


def _tasks() -> frozenset[object]:
    from tests.conftest import live_tasks

    return live_tasks("trio" if _is_trio() else "asyncio")


def _is_trio() -> bool:
    return trio.lowlevel.in_trio_run()


def _moments(act: Act, loop: str) -> tuple[Moment, ...]:
    if act in ERRORS:
        return (Moment.BEFORE,)

    if act is Act.STOP and loop == "trio":
        # It sets events, which a task that stands between asking for one and waiting for it
        # cannot bear; no code of anybody's runs there.
        return (Moment.BLOCKED, Moment.WOKEN)

    return tuple(Moment)


def injections(scenario: Scenario, loop: str, points: int, seed: int) -> Iterator[Injection]:
    """Give every attack on a scenario with so many *points*."""
    chance = random.Random(f"{scenario.name} {loop} {seed}")
    for act in scenario.acts:
        if act in {Act.TASK_CANCEL, Act.CANCEL_ALL} and loop == "trio":
            continue

        moments = _moments(act, loop)
        for point in range(1, points + 1):
            for moment in moments:
                trio_seed = chance.getrandbits(31)
                yield Injection(scenario.name, loop, act, moment, point, 0, trio_seed)

            if act in TWICE:
                again, trio_seed = chance.randint(1, 6), chance.getrandbits(31)
                moment = Moment.BEFORE if act in ERRORS else Moment.BLOCKED
                yield Injection(scenario.name, loop, act, moment, point, again, trio_seed)
