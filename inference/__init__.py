"""Reads Arabic political news and tags each article with its topics and actors. No torch in here.

Example:
    >>> from wusum.inference import Tagger, predict
    >>> tagger = Tagger.load()
"""

from .article import Article
from .prediction import Evidence, Prediction
from .tagger import Tagger, predict

__all__ = ["Article", "Evidence", "Prediction", "Tagger", "predict"]
