"""The OpenAPI document of the REST API, made from its operations."""
