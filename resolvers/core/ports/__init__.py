"""Protocols for what the resolvers need from outside; `caret` implements them."""
