"""How a worker comes up: the command line, and the stand-in for the package `ajobs`."""

from __future__ import annotations

import os
import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

#: How many workers stand one above the other here: 0 in a program that is no worker itself.
depth = 0

#: What ``python -c`` runs: the package without its ``__init__``, then the far end of it.
_BOOT = """\
import sys
ajobs = type(sys)('ajobs')
ajobs.__path__ = [sys.argv[1]]
sys.modules['ajobs'] = ajobs
from ajobs._worker.{} import main
main(*map(int, sys.argv[2:]))
"""


def inside_code(fd: int) -> str:
    """Return what a new subinterpreter of this process runs to serve socket *fd*."""
    return (
        "import sys\n"
        "ajobs = type(sys)('ajobs')\n"
        f"ajobs.__path__ = [{_home()!r}]\n"
        "sys.modules['ajobs'] = ajobs\n"
        "from ajobs._worker.inside import main\n"
        f"main({fd})\n"
    )


def _home() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120


def command_line(module: str, *fds: int) -> list[str]:
    """Return what runs ``main(*fds)`` of a *module* of this folder in a new interpreter.

    It has the flags of this one, since what they say is about the user's code too.
    """
    flags = sys.flags
    options = ["-P"]
    for letter, is_set in (
        ("I", flags.isolated),
        ("E", flags.ignore_environment),
        ("s", flags.no_user_site),
        ("B", flags.dont_write_bytecode),
    ):
        if is_set:
            options.append(f"-{letter}")

    options += ["-O"] * min(flags.optimize, 2)
    options += [f"-W{option}" for option in sys.warnoptions]
    for name, value in sys._xoptions.items():
        options.append(f"-X{name}" if value is True else f"-X{name}={value}")

    return [sys.executable, *options, "-c", _BOOT.format(module), _home(), *map(str, fds)]


def complete_stand_in() -> None:
    """Let the stand-in become the real package when a job asks for more of it."""
    package = sys.modules["ajobs"]
    if "__file__" in package.__dict__:
        return

    spec = _spec_of(package)
    package.__spec__ = spec
    package.__package__ = "ajobs"

    def getattr_(name: str) -> object:
        # Private names are its modules, which the import system finds by itself.
        if spec is None or spec.loader is None or (name.startswith("_") and name != "__all__"):
            raise AttributeError(f"module 'ajobs' has no attribute {name!r}")

        del package.__dict__["__getattr__"]
        package.__file__ = spec.origin
        spec.loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = getattr_


def _spec_of(package: ModuleType) -> ModuleSpec | None:
    place = package.__path__[0].rpartition("/")[0]
    for finder in sys.meta_path:
        spec = finder.find_spec("ajobs", [place])
        if spec is not None:
            return spec

    return None
