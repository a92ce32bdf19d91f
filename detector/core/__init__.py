"""The pure part: events in, decisions out.

Nothing here knows Kafka, Prometheus, HTTP, files or clocks. Time, identity and randomness are
arguments, so the same events in the same order give the same decisions, bit for bit.
"""
