"""One article as read, and how it is to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .article import Article
from .rejected import Place


@dataclass(frozen=True)
class Record:
    """One article as read.

    Attributes:
        article: a page (a string, furniture included) or an ``Article`` that is taken as clean.
        key: what the output calls it: ``{"id": ...}`` where the input has an id, otherwise ``{"path": ...}``.
        place: where it stands.
        columns: what stands before the tags in its row of output; the key where None.
    """

    article: str | Article
    key: Mapping[str, str | int]
    place: Place
    columns: Mapping[str, Any] | None = None
