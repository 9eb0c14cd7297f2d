"""Renders a chunk's text as HTML with the query's words marked; nothing in the text itself becomes markup."""

from html import escape

START, END = "\ue000", "\ue001"
"""What Postgres puts around a word. If a text has these characters too, Postgres gets the text without them."""
STAND_IN = "\ufffd\ufffd"
OPTIONS = f"HighlightAll=true, StartSel={START}, StopSel={END}"


def render_highlight(chunk_text: str, marked: str | None) -> str | None:
    """The chunk as HTML. `marked` is its text as Postgres marked it. None if it has no word to mark."""
    parts = (marked or "").replace(END, START).split(START)
    # Postgres leaves out a "word" of more than 2,047 bytes. The positions of the marks are unknown then.
    if len(parts) == 1 or sum(map(len, parts)) != len(chunk_text):
        return None
    pieces: list[str] = []
    at = 0
    for number, part in enumerate(parts):
        escaped = escape(chunk_text[at : at + len(part)])
        pieces.append(f"<mark>{escaped}</mark>" if number % 2 else escaped)
        at += len(part)
    return "".join(pieces)
