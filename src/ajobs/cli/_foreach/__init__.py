"""``ajobs foreach``: a command or a function for each of many items.

    command.py   the options                        plan.py       the options -> a plan
    items.py     where the items come from          template.py   an item -> a command
    ahead.py     the same, read ahead for the bar   work.py       what is done for an item
    run.py       the plan, carried out              calls.py      an item -> a function's values
    done.py      how an item went                   halt.py       when to give up
    output.py    what it printed -> our streams     joblog.py     what has run, on disk

Nothing is loaded here: a worker process needs `calls.py` alone.
"""
