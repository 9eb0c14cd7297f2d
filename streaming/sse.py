"""The text format of server-sent events (html.spec.whatwg.org, section 9.2)."""

MEDIA_TYPE = "text/event-stream"


def encode_event(data: bytes, *, event: str | None = None, event_id: str | None = None) -> bytes:
    """An event as it is sent. `data` is one line, such as JSON. A client that reconnects sends the last `event_id` that
    it received as `Last-Event-ID`."""
    fields = b""
    if event is not None:
        fields += b"event: %b\n" % event.encode()
    if event_id is not None:
        fields += b"id: %b\n" % event_id.encode()
    return b"%bdata: %b\n\n" % (fields, data)


def encode_comment(text: str = "") -> bytes:
    """A comment, which clients ignore. It shows them, and the proxies on the way, that the stream is alive."""
    return f": {text}\n\n".encode() if text else b":\n\n"
