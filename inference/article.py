"""An article as the model sees it: a headline, if known, and a body free of page furniture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Article:
    """One article.

    Example:
        >>> Article("قال مسؤول ...", title="لقاء في جنيف").title
        'لقاء في جنيف'
    """

    text: str
    title: str | None = None
    id: str | None = None
