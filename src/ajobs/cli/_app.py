"""The tree of subcommands: which there are, under which names, and what one does for a call.

A subcommand is a module of its own, loaded when it is asked for. The help of ``ajobs`` itself
loads none of them, so its lines stand here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import rich_click as click
from click.exceptions import Exit, NoArgsIsHelpError
from click.shell_completion import shell_complete

from ._ends import Status

__all__ = ("COMPLETE", "app", "run")

#: The environment variable by which a shell asks for completions.
COMPLETE = "_AJOBS_COMPLETE"


class Entry(NamedTuple):
    """A subcommand that is not loaded yet.

    Attributes:
        home: The module beside this one whose ``command`` it is.
        summary: Its line in the help of ``ajobs``.
        aliases: Its other names, in lower case: PowerShell's among them, where they are true.
    """

    home: str
    summary: str
    aliases: tuple[str, ...] = ()


COMMANDS: dict[str, Entry] = {
    "run": Entry("_run", "Run a function, a script or a command in the foreground."),
    "foreach": Entry(
        "_foreach.command",
        "Run a command or a function for each of many items.",
        ("map", "parallel", "foreach-object"),
    ),
    "bench": Entry("_bench", "Thread or process? Measure a function, and say which to take."),
    "demo": Entry("_demo", "Watch real jobs at work; no network, a few seconds."),
    "doctor": Entry("_doctor", "Look at what works here, and what to do if it does not."),
    "completion": Entry("_completion", "Let your shell complete commands and options."),
}

#: What PowerShell's users may look for, and what there is for it.
INSTEAD = {
    "start-job": "a job lives in a program: use 'ajobs run', or Session.start in Python",
    "start-threadjob": "a job lives in a program: use 'ajobs run', or Session.start in Python",
    "get-job": "a job lives in a program: use Session.get in Python",
    "receive-job": "a job lives in a program: use Job.receive in Python",
    "wait-job": "a job lives in a program: use 'ajobs run', or Job.wait in Python",
    "stop-job": "a job lives in a program: press Ctrl-C there, or use Job.stop in Python",
    "remove-job": "a job lives in a program: use Session.remove in Python",
}
INSTEAD |= {
    alias: INSTEAD[name]
    for alias, name in {
        "sajb": "start-job",
        "gjb": "get-job",
        "rcjb": "receive-job",
        "wjb": "wait-job",
        "spjb": "stop-job",
        "rjb": "remove-job",
    }.items()
}

STATUSES = """\
Exit status: 0 all is well; 1 something failed; 2 wrong usage; 124 the time was over; 130 Ctrl-C;
141 nobody reads the output any more; 143 SIGTERM. 'run' passes on the status of what it ran
(128 + N if signal N ended it)."""


class LazyGroup(click.RichGroup):
    """Finds its subcommands in a table, by any of their names in any case."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry] | None = None, **more: Any) -> None:
        """Take the subcommands from *entries*."""
        super().__init__(*args, **more)
        self._entries = dict(entries or {})
        self._names = {name: name for name in self._entries}
        for name, entry in self._entries.items():
            self._names |= dict.fromkeys(entry.aliases, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names that the help shows."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return what the help shows of a subcommand."""
        name = self._names.get(cmd_name.lower())
        return click.RichCommand(name=name, help=self._entries[name].summary) if name else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Load the subcommand that *args* begin with."""
        asked = args[0].lower()
        name = self._names.get(asked)
        if name is None:
            if ctx.resilient_parsing:  # a completion: there is nothing to say
                return None, None, args[1:]

            near = "".join(f"did you mean '{one}'?" for one in self._nearest(asked))
            ctx.fail(f"there is no command {args[0]!r}; {INSTEAD.get(asked) or near}".rstrip("; "))

        home = import_module(f".{self._entries[name].home}", __package__)
        return name, home.command, args[1:]

    def _nearest(self, asked: str) -> list[str]:
        from difflib import get_close_matches

        return get_close_matches(asked, self._names, n=1)


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Look the version up when it is asked for: that reads files, and needs an installed copy."""
    if not asked:
        return

    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"ajobs {version('ajobs')}")
    except PackageNotFoundError:
        print("ajobs, from a source tree that is not installed")

    ctx.exit()


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    epilog=STATUSES,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "rich_help_config": {
            "max_width": 100,
            "text_paragraph_linebreaks": "\n\n",
            "padding_helptext_first_line": (0, 0, 1, 0),
            # a column of its own for the values would leave none for the text
            "options_table_column_types": ["opt_short", "opt_long_metavar", "help"],
        },
    },
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and exit.",
)
def app() -> None:
    """PowerShell's background jobs for async Python, at the command line."""


def run(argv: list[str]) -> int:
    """Run the command line *argv*; return the exit status.

    A subcommand returns its status; None is success.
    """
    if asked := os.environ.get(COMPLETE):
        return shell_complete(app, {}, "ajobs", COMPLETE, asked)

    ctx = None
    try:
        with app.make_context("ajobs", argv) as ctx:
            status: int | None = app.invoke(ctx)
    except Exit as end:  # the help, or the version, has been printed
        return end.exit_code
    except NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return Status.USAGE
    except click.UsageError as error:
        # Plain and short: a page of help would hide the one line that matters.
        path = _path(error, ctx)
        print(f"{path}: {_sentence(error)}\nTry '{path} --help'.", file=sys.stderr)
        return Status.USAGE

    return status or Status.SUCCESS


def _path(error: click.UsageError, ctx: click.Context | None) -> str:
    """Return the words by which the command that complains was called."""
    if error.ctx is not None:
        return error.ctx.command_path

    return f"ajobs {ctx.invoked_subcommand}" if ctx and ctx.invoked_subcommand else "ajobs"


def _sentence(error: click.UsageError) -> str:
    """Return the message of *error* as our own begin and end."""
    text = error.format_message()
    return (text[:1].lower() + text[1:]).rstrip(".")
