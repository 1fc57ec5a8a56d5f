"""A long run against a real mesh: random changes, with and without faults, and a count of what went wrong.

``make soak`` and ``make chaos`` run it; pytest does not collect it.
"""
