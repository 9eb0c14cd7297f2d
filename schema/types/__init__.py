"""The GraphQL types, one file per noun with its inputs, queries and mutations."""
