"""The script of every PowerShell course, beside its PowerShell form: is each server up?"""

import socket

import anyio

import ajobs


# function Test-Server($port) { ... }
def check_server(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return "up"


async def main(servers):
    # failures="keep": as in PowerShell, a failed job is no error of the script.
    async with ajobs.Session(failures="keep") as jobs:
        # foreach ($name in $names) { Start-ThreadJob -Name $name { Test-Server $using:port } }
        for name, port in servers.items():
            jobs.start(check_server, port, name=name)

        # Get-Job | Wait-Job
        await ajobs.wait_all(jobs)

        # Get-Job
        for job in jobs:
            print(f"{job.name:<6}{job.kind:<8}{job.state:<11}{job.has_more_data}")

        # Get-Job -Name *b, m* | Receive-Job -Keep
        for job in jobs.get(name=["*b", "m*"]):
            print(job.name, job.receive_nowait(keep=True))

        # Receive-Job -Name web; Receive-Job -Name web
        print(jobs["web"].receive_nowait(), jobs["web"].receive_nowait())

        # (Get-Job -State Failed).JobStateInfo.Reason
        for job in jobs.get(state="Failed"):
            print(job.name, "is down:", type(job.reason).__name__)

        # Get-Job | Remove-Job
        await jobs.remove(jobs)
        print(len(jobs), "jobs left")


# Two servers that are up, and a port where nobody listens any more.
with (
    socket.create_server(("127.0.0.1", 0)) as web,
    socket.create_server(("127.0.0.1", 0)) as mail,
    socket.create_server(("127.0.0.1", 0)) as files,
):
    servers = {"web": web, "mail": mail, "files": files}
    ports = {name: server.getsockname()[1] for name, server in servers.items()}
    files.close()
    anyio.run(main, ports)
