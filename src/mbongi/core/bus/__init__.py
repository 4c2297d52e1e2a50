"""Typed messages between processes over NATS JetStream, and the outbox that ties them to database commits."""
