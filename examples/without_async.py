"""A plain script: the same verbs without await, on `ajobs.blocking`.

A loop runs in a thread of its own; Ctrl-C leaves the block and stops every job.
"""

import gzip
import hashlib
import pathlib
import sys
import tempfile

import ajobs


def checksum(path):
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def compress(paths):
    """Each yield is a record of output, which the script receives while the job runs."""
    for path in paths:
        packed = path.with_suffix(".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        yield packed.name, packed.stat().st_size < path.stat().st_size


def main(folder):
    paths = [folder / f"{number}.txt" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_text(f"line {number}\n" * 1000, encoding="utf-8")

    with ajobs.blocking.Session(backend="trio") as jobs:
        packing = jobs.start(compress, paths, runner="process", name="packing")
        version = jobs.start_command([sys.executable, "-c", "print('a program')"])

        for name, digest in jobs.parallel_foreach(paths, checksum, throttle=2).result():
            print(name, digest)

        for name, is_smaller in packing.receive():
            print(name, "is smaller:", is_smaller)

        print(version.receive().result(), version.result())

        # A failure is raised where its value is asked for; the others go on.
        missing = jobs.start(checksum, folder / "missing.txt", name="missing")
        try:
            missing.result(timeout=10)
        except FileNotFoundError as error:
            print("missing:", pathlib.Path(error.filename).name)

        print(jobs.wait_all(jobs).pending, [str(job.state) for job in jobs])


with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
