"""Each outside system in one place: Kafka, Prometheus, HTTP, files, logs."""
