"""A long run against a real mesh: random changes and faults, and a count of what went wrong.

``make soak`` and ``make chaos`` run it; pytest does not collect it.
"""
