"""Kafka and Flink in containers: through docker-compose.yml, or one by one through testcontainers."""
