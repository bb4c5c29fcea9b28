"""The one exception class for faults that a user can mend."""

from __future__ import annotations


class WusumError(Exception):
    """A fault in what the user gave: input, file, option or missing extra.

    Its text is one line that says where (``path:line:field``), what is wrong, what was expected and what to do next.
    The command line prints it without a traceback and exits with 2.

    Example:
        >>> raise WusumError("articles.jsonl:3:text: missing, expected a string; add it")
        Traceback (most recent call last):
        ...
        wusum.labels.errors.WusumError: articles.jsonl:3:text: missing, expected a string; add it
    """
