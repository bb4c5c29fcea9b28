"""Who held an office in other years: the same sentence with the name of another holder earns the same labels.

Hardly any labelled article is of later years than 2017, so a later name ("Blinken") is a word that the model has never
seen beside a label. Exchanging entities of one kind is a known augmentation (mention replacement, Dai and Adel 2020);
here the kind is one office, so that the labels that a sentence earns by whom it names stay true.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..labels.errors import WusumError

OFFICE_HOLDERS = Path(__file__).with_name("office_holders.yaml")
# The spellings of one letter in the press; a conjunction or preposition may be written onto a name.
_SPELLINGS = {"ا": "[اأإآ]", "ه": "[هة]", "ي": "[يى]", " ": r"\s?"}
_SAME = str.maketrans("أإآةى", "اااهي")
_ATTACHED = "[وفبلك]{0,2}"


@dataclass(frozen=True)
class Holder:
    """One who held an office. ``short`` is the name that stands alone for the person, None where none is clear."""

    office: int
    full: str
    short: str | None


class OfficeHolders:
    """The holders of :data:`OFFICE_HOLDERS`, found in texts and exchanged there."""

    def __init__(self, offices: Sequence[Sequence[str]]) -> None:
        """Take the offices' holders, written as ``full name`` or ``first name | surname``."""
        holders = [_holder(number, name) for number, names in enumerate(offices) for name in names]
        self._holders: dict[str, Holder] = {}
        for holder in holders:
            if self._holders.setdefault(_key(holder.full), holder) is not holder:
                raise WusumError(f"{holder.full}: stands twice among the office holders; expected one office each")
        self._full_names = _pattern(holder.full for holder in holders)

    @classmethod
    def load(cls, path: Path = OFFICE_HOLDERS) -> OfficeHolders:
        """Read the offices.

        Raises:
            WusumError: the file cannot be read, is no list of lists of names, or has a name twice.
        """
        try:
            offices = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as fault:
            told = " ".join(str(fault).split())
            raise WusumError(f"{path}: cannot be read ({told}); expected a list of lists of names") from fault
        if not isinstance(offices, list) or not all(_is_names(names) for names in offices):
            raise WusumError(f"{path}: expected a list of lists of two names or more")
        return cls(offices)

    def named(self, text: str) -> tuple[Holder, ...]:
        """The holders whose full name stands in a text.

        Example:
            >>> [holder.short for holder in OfficeHolders.load().named("التقى جون كيري لافروف")]
            ['كيري']
        """
        found = dict.fromkeys(_key(match[2]) for match in self._full_names.finditer(text))
        return tuple(self._holders[name] for name in found)

    def exchange(self, texts: Iterable[str], named: Sequence[Holder], draw: random.Random) -> list[str]:
        """Return the texts with each of ``named``, by full and short name, exchanged for another of the same office.

        Example:
            >>> holders = OfficeHolders([["جون | كيري", "أنتوني | بلينكن"]])
            >>> holders.exchange(["وصل كيري"], holders.named("جون كيري"), random.Random(0))
            ['وصل بلينكن']
        """
        names: dict[str, str] = {}
        for holder in named:
            others = [other for other in self._holders.values() if other.office == holder.office and other not in named]
            if others:
                other = draw.choice(others)
                names[holder.full] = other.full
                if holder.short:
                    names.setdefault(holder.short, other.short or other.full)
        if not names:
            return list(texts)
        pattern, new = _pattern(names), {_key(name): other for name, other in names.items()}
        return [pattern.sub(lambda found: found[1] + new[_key(found[2])], text) for text in texts]


def _is_names(names: object) -> bool:
    return isinstance(names, list) and len(names) > 1 and all(isinstance(name, str) for name in names)


def _holder(office: int, name: str) -> Holder:
    first, _, last = (part.strip() for part in name.partition("|"))
    return Holder(office, f"{first} {last}".strip(), last or None)


def _key(name: str) -> str:
    return "".join(name.translate(_SAME).split())


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    spelt = (
        "".join(_SPELLINGS.get(letter, re.escape(letter)) for letter in name.translate(_SAME))
        for name in sorted(names, key=len, reverse=True)
    )
    return re.compile(rf"(?<!\w)({_ATTACHED})({'|'.join(spelt)})(?!\w)")
