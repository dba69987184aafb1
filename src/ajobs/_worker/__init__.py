"""The far end of a job: what runs over there.

    parent                                 worker
          --- SETUP, JOB, STOP, ITEM ----> end.py      reads frames, runs one job at a time
    Talk  <-- RECORDS, VALUE, FAILURE ---- job.py      what the job's code may call
          <-- descriptors 1 and 2 -------- hooks.py    warnings and logging as records
                                           loop.py     async functions; loaded for them alone
                                           serve.py    what is special in a process
                                           inside.py   ... and in a subinterpreter
                                           parent.py   the death of the parent
                                           watchdog.py the same for programs that are not ours
                                           launch.py   many short programs, and their end

Standard library only, and little of that, so that a worker is up in milliseconds and needs
nothing installed on another host. In a worker the package `ajobs` is first a stand-in that
only knows where its modules are (`boot.py`). The real one takes its place when a job's code
asks for a name of it; a job that does not never loads it.
"""
