"""The label scheme of wusum, its loader, the gold annotations and the join that gives them their texts back.

Example:
    >>> from wusum.labels import load_taxonomy
    >>> len(load_taxonomy())
    34
"""

from .errors import WusumError
from .fingerprint import text_hash
from .taxonomy import Label, Taxonomy, load_taxonomy

__all__ = ["Label", "Taxonomy", "WusumError", "load_taxonomy", "text_hash"]
