"""Asks Kafka and Flink a question and writes down what happened: scenarios in, Runs out."""
