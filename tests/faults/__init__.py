"""The fault suite: what a run gives under faults is what an undisturbed run gives.

Real program, real Apache Kafka, real signals. `python -m tests.faults` runs all of it.
"""
