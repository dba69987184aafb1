"""``python -m benchmarks [NAME ...] [--rounds N]``: measure, print, and write the tables.

Each table is written into ``benchmarks/README.md`` between its own two marks; the others
stay as they are.
"""

from __future__ import annotations

import argparse
import importlib
import re
from datetime import UTC, datetime
from pathlib import Path

from .harness import markdown, versions

README = Path(__file__).with_name("README.md")

#: The modules that measure, in the order of the page.
NAMES = ("core", "process", "coroutines", "calls", "fan_out", "files", "growth", "cli")


def main() -> None:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no page {', '.join(unknown)}: there are {', '.join(NAMES)}")

    for name in options.names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        table = markdown(module.rows(options.rounds))
        about = f"{versions(*module.PEERS)}; {datetime.now(UTC).date()}."
        text = f"{about}\n\n{table}"
        print(f"\n## {name}\n\n{text}", flush=True)
        if not options.no_write:
            write(name, text)


def write(name: str, text: str) -> None:
    """Put *text* between the marks of *name* in the page."""
    page = README.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name} -->\n).*?\n?(<!-- end {name} -->)"
    page, found = re.subn(pattern, lambda m: m[1] + text + "\n" + m[2], page, flags=re.DOTALL)
    if not found:
        page += f"\n## {name}\n\n<!-- {name} -->\n{text}\n<!-- end {name} -->\n"

    README.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
