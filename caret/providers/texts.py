"""What every embedder does to a text before its model gets it."""


def clean(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, valid Unicode, with each run of white space and NULs as one space.

    White space is folded before the cut, and only the first 4 x `limit` characters are looked at: a text of any length
    costs the same.
    """
    head = text[: 4 * limit].replace("\0", " ")
    return " ".join(head.split())[:limit].encode("utf-8", "replace").decode()
