"""Long-lived responses of both edges: server-sent events, keep-alive, stall timeout, token expiry, connection count."""
