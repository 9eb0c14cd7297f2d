"""The OpenAPI document of the REST APIs, made from their operations, and the page that shows it."""
