"""Implementations of the resolvers' ports: Postgres, NATS, storage, tokens, encryption, outgoing HTTP."""
