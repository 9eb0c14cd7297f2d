"""A chunk's text with the query's words marked, as HTML in which nothing that a user wrote is markup."""

from html import escape

START, END = "\ue000", "\ue001"
"""What Postgres puts around a word. A text may have these characters too: it is shown to Postgres without them."""
STAND_IN = "\ufffd\ufffd"
OPTIONS = f"HighlightAll=true, StartSel={START}, StopSel={END}"


def highlighted(chunk_text: str, marked: str | None) -> str | None:
    """`marked`: the text as Postgres marked it. None where it has no word of the query."""
    parts = (marked or "").replace(END, START).split(START)
    # Postgres leaves out a "word" of more than 2,047 bytes: then nobody knows what the marks stand around.
    if len(parts) == 1 or sum(map(len, parts)) != len(chunk_text):
        return None
    pieces: list[str] = []
    at = 0
    for number, part in enumerate(parts):
        own = escape(chunk_text[at : at + len(part)])
        pieces.append(f"<mark>{own}</mark>" if number % 2 else own)
        at += len(part)
    return "".join(pieces)
