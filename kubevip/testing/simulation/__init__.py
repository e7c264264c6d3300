"""Whole agents under a simulated clock: the real ones, on simulated machines, with an API server in memory.

``python -m kubevip.testing.simulation --count 1000`` runs a thousand seeds. A seed chooses nodes, addresses, times and
faults; the same seed is the same run, bit for bit. What happened is written down and judged: see ``promises``.

A program that embeds kubevip can run scenarios of its own::

    from kubevip.testing.simulation.scenario import draw
    from kubevip.testing.simulation.verdict import judge

    run, violations = judge(draw(17))

Importing this package imports nothing of it.
"""
