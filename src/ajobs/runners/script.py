"""Python files as jobs: each is the main program of a worker of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._calls import Call
from .._checks import current_directory, flag
from .._child import check_directory, check_environment
from .._payload import pack
from .._records import Stream
from .._runner import Emit
from .._spec import JobSpec
from .._worker.script import run_script
from .process import ProcessRunner

__all__ = ("Script", "ScriptRunner")


class Script:
    """What a script job is to run: a Python file and its arguments."""

    # For whoever names the job: the command line, in no module.
    __module__: str

    def __init__(
        self,
        path: str | os.PathLike[str],
        *argv: str,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> None:
        """Check and keep the options.

        Args:
            path: The file.
            *argv: Its arguments, ``sys.argv[1:]`` there.
            cwd: Its directory; None: the caller's, now.
            env: What it finds in `os.environ`; None: the same as here. The interpreter runs
                already when it is set, so ``PYTHON...`` variables have no effect.
            check: Whether an exit code other than 0 fails the job.

        Raises:
            FileNotFoundError: The file or *cwd* does not exist.
            TypeError: An argument is not text, or another option not of the right sort.
            ValueError: *env* cannot be passed on.
        """
        for one in argv:
            if not isinstance(one, str):
                raise TypeError(f"an argument of a script must be text, not {one!r:.80}")

        self.path = str(Path(path).absolute())
        if not os.path.isfile(self.path):  # noqa: PTH113  # as text
            raise FileNotFoundError(2, "there is no such script", self.path)

        self.argv = list(argv)
        self.cwd = check_directory(cwd) or current_directory()
        self.env = check_environment(env)
        self.check = flag(check, "check")
        self.__qualname__ = shlex.join([os.fspath(path), *argv])
        self.__module__ = "builtins"

    def __call__(self) -> int:
        """Refuse to be called: it is for a `ScriptRunner`."""
        raise TypeError("a Script is run by a ScriptRunner, see Session.start_script")


class ScriptRunner(ProcessRunner):
    """Runs Python files, each as ``__main__`` of a fresh worker, with its own `sys.argv`.

    Lines that it prints are output, lines on standard error are error records that do not set
    `Job.had_errors`; the functions of `ajobs` that a job's code may call work in it. Its exit
    code is the job's value, what it does not catch is the job's failure.
    """

    kind = "script"
    value_is_output = False
    _out = Stream.OUTPUT

    def __init__(self, max_workers: int | None = None) -> None:
        """Make a runner. It runs jobs while it is entered.

        Args:
            max_workers: Most scripts at once; the others are not started. None: one for each
                CPU that this process may use.
        """
        super().__init__(max_workers, max_jobs_per_worker=1)

    def check(self, spec: JobSpec) -> JobSpec:
        """Refuse what is no script."""
        script = spec.fn
        if not isinstance(script, Script):
            raise TypeError(f"a script runner runs a Script, not {script!r:.80}")

        packed = pack((run_script, (script.path, script.argv, script.env), ()))
        return spec._replace(args=(Call(packed, script.cwd, is_async=False),))

    async def run(self, spec: JobSpec, emit: Emit) -> Any:
        """Run the script of *spec* to its end and return its exit code."""
        script: Any = spec.fn
        code = await super().run(spec, emit)
        if code and script.check:
            raise subprocess.CalledProcessError(code, [script.path, *script.argv])

        return code
