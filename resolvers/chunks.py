"""Cuts a text into overlapping chunks of a fixed size."""


def chunked(text: str, size: int, overlap: int) -> list[str]:
    """Chunks of `size` characters, each starting with the last `overlap` of the one before.

    Blank chunks are left out, and so is a last one that would only repeat the tail of the one before it.
    """
    text = text.strip()
    chunks = []
    for start in range(0, max(len(text) - overlap, 1), size - overlap):
        chunk = text[start : start + size].strip()
        if chunk:
            chunks.append(chunk)
    return chunks
