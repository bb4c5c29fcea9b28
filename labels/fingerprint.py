"""The fingerprint by which annotations find their text again."""

from __future__ import annotations

import hashlib
import unicodedata


def text_hash(text: str) -> str:
    r"""Return the SHA-256 (64 lower-case hex digits) of a text, blind to its Unicode form and its white space.

    The text is put in NFC, every run of white space becomes one space, the ends are stripped, and the UTF-8 of the
    result is hashed. Line ends, indentation and decomposed letters differ between copies of a corpus; words do not.

    Example:
        >>> text_hash("بيان  رسمي\n") == text_hash("بيان رسمي")
        True
    """
    canonical = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
