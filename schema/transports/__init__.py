"""The protocols that carry operations: each reads an operation, runs it, and writes its result or events."""
