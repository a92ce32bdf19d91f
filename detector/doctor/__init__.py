"""Looks at everything a run needs before it runs, and says what is wrong and what to do about it.

Pure checks over facts, which `edges.kafka_facts` and the other edges gather; `examination` wires
them. It writes nothing to any topic of the platform.
"""
