"""The laboratory: made-up and recorded streams, and the detector run on them away from Kafka."""
