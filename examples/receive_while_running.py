"""Three ways to read what a job writes, while it runs: take, look, follow."""

import anyio

import ajobs


def resize(names, go_on):
    """A plain function runs in a thread; each yield is a record of the job's output."""
    for number, name in enumerate(names, 1):
        if name.endswith(".txt"):
            ajobs.write_warning(f"{name} is no picture")
        else:
            yield f"{name} resized"

        ajobs.write_progress("resizing", completed=number, total=len(names))
        # Waits until `main` lets it go on, so that the output is the same each time.
        anyio.from_thread.run(go_on.receive)


async def main():
    names = ["cat.png", "notes.txt", "dog.png", "owl.png"]
    let_go_on, go_on = anyio.create_memory_object_stream(1)
    async with ajobs.Session() as jobs, let_go_on, go_on:
        job = jobs.start(resize, names, go_on)

        # Follow: every record of every stream, live; nothing is taken.
        async for record in job.follow():
            if record.stream == "progress":
                print(f"{record.value.percent:.0f} %")
                if record.value.completed == 2:
                    break

                await let_go_on.send(None)

        # Look (keep=True leaves all in place), then take: what was taken is gone.
        print("kept: ", job.receive_nowait(keep=True))
        print("taken:", job.receive_nowait())
        print("left: ", job.receive_nowait(), job.receive_nowait("warning"))
        await let_go_on.send(None)

        # Take one by one, each when it is there.
        async for line in job.receive():
            print("live: ", line, f"({job.state})")
            await let_go_on.send(None)

        print(job.state)


anyio.run(main)
