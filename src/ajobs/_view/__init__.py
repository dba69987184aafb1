"""How jobs look: as text, as HTML, on a terminal, in a notebook, and as a trace.

What decides how something looks is pure; `live` alone has a clock and `screens` alone writes.
Nothing here knows sessions or changes a job: a job is seen through `rows.Viewed`.
"""
