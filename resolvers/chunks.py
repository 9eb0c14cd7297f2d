"""Cuts a text into overlapping chunks of a fixed size."""


def chunked(text: str, size: int, overlap: int) -> list[str]:
    """Chunks of `size` characters, each starting with the last `overlap` of the one before.

    A chunk in which all that is new is blank is left out: it would only repeat the tail of the one before it.
    """
    text = text.strip()
    chunks = []
    for start in range(0, max(len(text) - overlap, 1), size - overlap):
        new = start + overlap if start else 0
        if text[new : start + size].strip():
            chunks.append(text[start : start + size].strip())
    return chunks
