"""Speed and memory, measured: ``make bench``, or ``python -m benchmarks NAME...`` for some of them.

Figures depend on the machine; they are printed, never asserted.
"""
