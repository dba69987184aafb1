"""A trio program: jobs beside trio's own nurseries, cancel scopes and channels."""

import functools

import trio

import ajobs


async def countdown(start):
    """An async generator: each yield is a record of the job's output."""
    for number in range(start, 0, -1):
        yield number
        await trio.sleep(0.01)


async def work_for_ever(told):
    try:
        told.set()
        await trio.sleep_forever()
    finally:
        # Once a job is stopped, each await is cancelled, unless it is shielded.
        with ajobs.cleanup():
            await trio.sleep(0.01)
            print("worker: tidied up")


async def announce(jobs):
    """Follow all jobs of a session; nothing that they write is taken."""
    async for job, change in jobs.follow():
        if isinstance(change, ajobs.StateChange) and change.state == "Stopped":
            print("announced:", job.name, change.state)


async def main():
    async with trio.open_nursery() as nursery, ajobs.Session() as jobs:
        nursery.start_soon(announce, jobs)

        rocket = jobs.start(countdown, 3, name="rocket")
        async for number in rocket.receive():
            print("received", number)

        told = trio.Event()
        worker = jobs.start(functools.partial(work_for_ever, told=told), name="worker")
        await told.wait()

        # A wait that is given up leaves the job alone; a stop ends it.
        with trio.move_on_after(0.01):
            await worker.wait()

        print("worker is", worker.state)
        await worker.stop()
        print("worker is", worker.state)


trio.run(main)
