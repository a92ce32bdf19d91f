"""The loop around the engines: batches in, outputs out, offsets committed. Speaks to ports only."""
