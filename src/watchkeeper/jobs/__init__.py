"""The jobs that flows and commands share: run a check, hand its findings to incidents.

Each takes an open App and plain values, so it can be run by hand, by a schedule, or in a test.
"""
