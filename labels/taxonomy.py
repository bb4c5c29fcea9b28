"""A label scheme: what the labels are, in the order of the model's head, and a strict loader for its YAML file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import yaml

from .errors import WusumError

Kind = Literal["topic", "actor"]

KINDS: Final[tuple[Kind, ...]] = ("topic", "actor")
_TOP_KEYS = ("name", "version", "labels")
_LABEL_REQUIRED = ("id", "kind", "ar", "en", "definition")
_LABEL_KEYS = (*_LABEL_REQUIRED, "aliases", "parent", "wikidata", "cameo")
_ID = re.compile(r"[a-z][a-z0-9_]*")
_WIKIDATA = re.compile(r"Q[1-9][0-9]*")
PACKAGED_TAXONOMY = Path(__file__).with_name("taxonomy.yaml")
_STRING_TAG = "tag:yaml.org,2002:str"
_NULL_TAG = "tag:yaml.org,2002:null"
_YAML_NAMES: Final[Mapping[str, str]] = {
    "map": "a mapping",
    "seq": "a list",
    "null": "nothing",
    "str": "text",
    "bool": "a truth value",
    "int": "a number",
    "float": "a number",
}


@dataclass(frozen=True)
class Label:
    """One label of a scheme; ``parent`` names another label's id, ``wikidata`` and ``cameo`` tie it to public codes.

    Example:
        >>> Label("trade", "topic", "تجارة", "Trade", "Trade between states.").aliases
        ()
    """

    id: str
    kind: Kind
    ar: str
    en: str
    definition: str
    aliases: tuple[str, ...] = ()
    parent: str | None = None
    wikidata: str | None = None
    cameo: str | None = None


@dataclass(frozen=True)
class Taxonomy:
    """A label scheme. The order of ``labels`` is the order of the model's outputs.

    Behaves as a mapping from id to Label: ``"x" in taxonomy``, ``taxonomy["x"]``, ``len(taxonomy)``, iteration.

    Example:
        >>> scheme = Taxonomy("mine", "1", (Label("trade", "topic", "تجارة", "Trade", "Trade between states."),))
        >>> scheme.index("trade"), "war" in scheme, scheme.nearest("Trades")
        (0, False, 'trade')
    """

    name: str
    version: str
    labels: tuple[Label, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """All ids, in file order."""
        return tuple(label.id for label in self.labels)

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """The ids of the topics, in file order."""
        return tuple(label.id for label in self.labels if label.kind == "topic")

    @cached_property
    def actors(self) -> tuple[str, ...]:
        """The ids of the actors, in file order."""
        return tuple(label.id for label in self.labels if label.kind == "actor")

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        return MappingProxyType({label.id: position for position, label in enumerate(self.labels)})

    @cached_property
    def _surfaces(self) -> Mapping[str, str]:
        """Every folded spelling with the id it stands for; an id wins over another label's alias."""
        surfaces = {_fold(label.id): label.id for label in self.labels}
        for label in self.labels:
            for name in (label.en, label.ar, *label.aliases):
                surfaces.setdefault(_fold(name), label.id)
        return MappingProxyType(surfaces)

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids, in file order."""
        return iter(self.ids)

    def __contains__(self, label_id: object) -> bool:
        """Tell whether an id belongs to the scheme."""
        return label_id in self._positions

    def __getitem__(self, label_id: str) -> Label:
        """Return the label of an id; raises WusumError, naming the nearest, when there is none."""
        return self.labels[self.index(label_id)]

    def index(self, label_id: str) -> int:
        """Return the position of an id among the model's outputs; raises WusumError when there is none."""
        position = self._positions.get(label_id)
        if position is None:
            raise WusumError(f"label {self.unknown(label_id)}")
        return position

    def nearest(self, name: str) -> str | None:
        """Return the id whose own spelling, name or alias comes closest to ``name``; None when nothing is close."""
        hits = difflib.get_close_matches(_fold(name), self._surfaces, n=1)
        return self._surfaces[hits[0]] if hits else None

    def unknown(self, name: object) -> str:
        """Return the words of a fault message about a label that is not in the scheme."""
        nearest = self.nearest(name) if isinstance(name, str) else None
        hint = f"did you mean {nearest!r}?" if nearest else "'wusum labels list' shows the ids"
        return f"{name!r} is not in scheme {self.name} {self.version}; {hint}"

    def split(self, ids: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the topics and the actors among ``ids``, each in the order given; WusumError for an unknown id."""
        found = [self[label_id] for label_id in ids]
        topics = tuple(label.id for label in found if label.kind == "topic")
        return topics, tuple(label.id for label in found if label.kind == "actor")


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Read a label scheme from a YAML file; None reads the one that comes with wusum.

    The file is a mapping with ``name``, ``version`` and ``labels``; a label has ``id``, ``kind`` (topic or actor),
    ``ar``, ``en``, ``definition`` and may have ``aliases``, ``parent``, ``wikidata``, ``cameo``. Topics
    alone will do.

    Raises:
        WusumError: the file cannot be read or breaks a rule; the message is one line, ``path:line:field: ...``.

    Example:
        >>> load_taxonomy().topics[0] in load_taxonomy()
        True
    """
    return _SchemeFile(PACKAGED_TAXONOMY if path is None else Path(path)).read()


def _fold(name: str) -> str:
    return name.casefold().replace("_", " ").replace("-", " ").strip()


@dataclass(frozen=True)
class _SchemeFile:
    """Reads one scheme from YAML nodes, because only nodes know their line."""

    path: Path

    def read(self) -> Taxonomy:
        top = self._mapping(self._compose(), "the file", _TOP_KEYS, _TOP_KEYS)
        nodes = self._sequence(top["labels"], "labels")
        if not nodes:
            raise self._fault(top["labels"], "labels", "empty, expected at least one label; add one")
        labels: list[Label] = []
        parents: list[yaml.Node] = []
        lines: dict[str, int] = {}
        for node in nodes:
            fields = self._mapping(node, "a label", _LABEL_KEYS, _LABEL_REQUIRED)
            label = self._label(fields)
            if label.id in lines:
                where = f"{label.id!r} stands in line {lines[label.id]} already"
                raise self._fault(fields["id"], "id", f"duplicate, {where}; rename or remove one")
            lines[label.id] = _line(fields["id"])
            labels.append(label)
            parents.append(fields.get("parent", node))
        for label, node in zip(labels, parents, strict=True):
            self._check_parent(label, labels, node)
        name, version = (self._text(top[key], key) for key in ("name", "version"))
        return Taxonomy(name, version, tuple(labels))

    def _compose(self) -> yaml.Node:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise WusumError(f"{self.path}: cannot read: {reason}; expected a label scheme in UTF-8 YAML") from error
        try:
            node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            problem = " ".join(str(getattr(error, "problem", None) or "not YAML").split())
            line = mark.line + 1 if mark else 1
            raise WusumError(f"{self.path}:{line}:yaml: {problem}; expected valid YAML, mend this line") from error
        if node is None:
            raise WusumError(f"{self.path}:1:labels: the file is empty, expected name, version and labels; add them")
        return node

    def _label(self, fields: dict[str, yaml.Node]) -> Label:
        texts = {key: self._text(fields[key], key) for key in _LABEL_REQUIRED}
        if not _ID.fullmatch(texts["id"]):
            expected = "expected lower-case letters, digits and _, a letter first; rename it"
            raise self._fault(fields["id"], "id", f"{texts['id']!r} is no id, {expected}")
        if texts["kind"] not in KINDS:
            raise self._fault(fields["kind"], "kind", f"{texts['kind']!r}, expected topic or actor; choose one")
        wikidata = self._optional(fields, "wikidata")
        if wikidata is not None and not _WIKIDATA.fullmatch(wikidata):
            raise self._fault(fields["wikidata"], "wikidata", f"{wikidata!r}, expected Q and a number; mend or drop it")
        return Label(
            id=texts["id"],
            kind="topic" if texts["kind"] == "topic" else "actor",
            ar=texts["ar"],
            en=texts["en"],
            definition=texts["definition"],
            aliases=self._aliases(fields.get("aliases")),
            parent=self._optional(fields, "parent"),
            wikidata=wikidata,
            cameo=self._optional(fields, "cameo"),
        )

    def _aliases(self, node: yaml.Node | None) -> tuple[str, ...]:
        if node is None or node.tag == _NULL_TAG:
            return ()
        return tuple(self._text(item, "aliases") for item in self._sequence(node, "aliases"))

    def _check_parent(self, label: Label, labels: list[Label], node: yaml.Node) -> None:
        parents = {other.id: other.parent for other in labels}
        seen = [label.id]
        while (parent := parents[seen[-1]]) is not None:
            if parent not in parents:
                raise self._fault(node, "parent", f"{parent!r} is not a label of this file{_hint(parent, parents)}")
            if parent in seen:
                raise self._fault(node, "parent", f"{' > '.join([*seen, parent])} goes round in a circle; cut it")
            seen.append(parent)

    def _mapping(
        self, node: yaml.Node, what: str, valid: tuple[str, ...], required: tuple[str, ...]
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._fault(node, "labels", f"{what} is {_name(node)}, expected a mapping with {', '.join(required)}")
        fields: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = " ".join(str(key_node.value).split()) if isinstance(key_node, yaml.ScalarNode) else _name(key_node)
            if key not in valid:
                raise self._fault(key_node, key, f"unknown key{_hint(key, valid)}")
            if key in fields:
                raise self._fault(key_node, key, "given twice, expected once; remove one")
            fields[key] = value
        for key in required:
            if key not in fields:
                raise self._fault(node, key, f"missing in {what}; add it")
        return fields

    def _sequence(self, node: yaml.Node, field: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._fault(node, field, f"expected a list, got {_name(node)}; write it as a list")
        return list(node.value)

    def _text(self, node: yaml.Node, field: str) -> str:
        if node.tag != _STRING_TAG or not isinstance(node, yaml.ScalarNode):
            raise self._fault(node, field, f"expected text, got {_name(node)}; write text, in quotes if need be")
        text = " ".join(str(node.value).split())
        if not text:
            raise self._fault(node, field, "empty, expected text; fill it in")
        return text

    def _optional(self, fields: dict[str, yaml.Node], key: str) -> str | None:
        node = fields.get(key)
        return None if node is None or node.tag == _NULL_TAG else self._text(node, key)

    def _fault(self, node: yaml.Node, field: str, message: str) -> WusumError:
        return WusumError(f"{self.path}:{_line(node)}:{field}: {message}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _name(node: yaml.Node) -> str:
    kind = str(node.tag).rsplit(":", 1)[-1]
    return _YAML_NAMES.get(kind, f"a {kind}")


def _hint(name: str, valid: Iterable[str]) -> str:
    known = list(valid)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f", expected one of {', '.join(known)}"
