"""The protocols that carry operations: each reads one, has it run, and writes what comes of it."""
