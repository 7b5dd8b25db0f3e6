"""What the numbers say: pure functions on arrays; no clocks, no files, no Kafka."""
