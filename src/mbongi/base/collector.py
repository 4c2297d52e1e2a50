"""Python's collector of cycles, tuned for processes that hold much and for long.

By default it walks through everything once a quarter more has come. In a process that holds ten thousand machines that
takes 0.3 to 1 s, in which nothing is asked and nothing is answered, and a burst of work (five thousand machines told
to sleep) set it off a dozen times: a third of all CPU time. What dies young is still collected soon.
"""

import gc

YOUNG = 20_000
"""More objects made than freed, until the young ones are looked at; Python's default is 700."""
MIDDLE = 20
OLD = 50
"""So many looks at the middle ones until everything is walked through: once for some twenty million objects."""


def collect_rarely() -> None:
    """Call once at the start of a process."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
