"""The scheme that is shipped, and every rule that its loader enforces."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from wusum.labels import Label, Taxonomy, WusumError, load_taxonomy

GUIDE = Path(__file__).resolve().parents[2] / "labels" / "GUIDE.md"

GOOD = """\
name: mine
version: "1"
labels:
  - id: trade
    kind: topic
    ar: تجارة
    en: Trade
    definition: Trade between states.
    aliases: [commerce, التبادل التجاري]
  - id: port_city
    kind: actor
    ar: المدينة
    en: Port city
    definition: The city and its council.
    parent: null
    wikidata: Q42
    cameo: "12"
"""


def load(tmp_path: Path, text: str) -> Taxonomy:
    path = tmp_path / "scheme.yaml"
    path.write_text(text, encoding="utf-8")
    return load_taxonomy(path)


def fault(tmp_path: Path, text: str) -> str:
    with pytest.raises(WusumError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    prefix = f"{tmp_path / 'scheme.yaml'}:"
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


def test_packaged_scheme_is_the_guides_in_the_guides_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    scheme = load_taxonomy()
    assert [(label.id, label.ar) for label in scheme.labels] == [(label_id, ar.strip()) for label_id, ar in rows]
    assert (len(scheme), len(scheme.topics), len(scheme.actors)) == (34, 11, 23)
    assert scheme.ids == (*scheme.topics, *scheme.actors)


def test_packaged_scheme_fills_every_field() -> None:
    scheme = load_taxonomy()
    assert all(label.aliases and label.definition.endswith(".") for label in scheme.labels)
    assert {label_id for label_id in ("syria", "russia", "usa") if scheme[label_id].cameo} == {"syria", "russia", "usa"}
    codes = [label.wikidata for label in scheme.labels if label.wikidata]
    assert len(codes) == len(set(codes))


def test_packaged_spellings_name_one_label_each() -> None:
    owners: dict[str, set[str]] = {}
    for label in load_taxonomy().labels:
        for name in (label.id, label.ar, label.en, *label.aliases):
            owners.setdefault(name.casefold(), set()).add(label.id)
    assert {name: ids for name, ids in owners.items() if len(ids) > 1} == {}


def test_reads_what_is_written(tmp_path: Path) -> None:
    scheme = load(tmp_path, GOOD)
    assert (scheme.name, scheme.version) == ("mine", "1")
    assert scheme["trade"] == Label(
        "trade", "topic", "تجارة", "Trade", "Trade between states.", ("commerce", "التبادل التجاري")
    )
    assert scheme["port_city"].wikidata == "Q42"
    assert scheme["port_city"].cameo == "12"
    assert scheme["port_city"].parent is None


def test_serves_a_scheme_of_topics_only(tmp_path: Path) -> None:
    scheme = load(tmp_path, GOOD.split("  - id: port_city")[0])
    assert (scheme.topics, scheme.actors) == (("trade",), ())


def test_parent_may_stand_later_in_the_file(tmp_path: Path) -> None:
    scheme = load(tmp_path, GOOD.replace("    kind: topic\n", "    kind: topic\n    parent: port_city\n"))
    assert scheme["trade"].parent == "port_city"


def test_is_a_mapping_of_ids(tmp_path: Path) -> None:
    scheme = load(tmp_path, GOOD)
    assert list(scheme) == ["trade", "port_city"]
    assert "trade" in scheme
    assert "war" not in scheme
    assert None not in scheme
    assert [scheme.index(label_id) for label_id in scheme] == [0, 1]
    assert scheme.split(["port_city", "trade"]) == (("trade",), ("port_city",))


def test_is_frozen(tmp_path: Path) -> None:
    scheme = load(tmp_path, GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        scheme.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("lookup", [lambda scheme: scheme["trad"], lambda scheme: scheme.index("trad")])
def test_unknown_id_names_the_nearest(tmp_path: Path, lookup: object) -> None:
    with pytest.raises(WusumError, match="'trad' is not in scheme mine 1; did you mean 'trade'"):
        lookup(load(tmp_path, GOOD))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rusia", "russia"),
        ("Daesh", "isis"),
        ("United States", "usa"),
        ("الأمم المتحده", "united_nations"),
        ("q", None),
    ],
)
def test_nearest_knows_spellings_and_aliases(name: str, expected: str | None) -> None:
    assert load_taxonomy().nearest(name) == expected


FAULTS = {
    "duplicate id": (GOOD.replace("id: port_city", "id: trade"), "10:id: duplicate, 'trade' stands in line 4"),
    "unknown key": (GOOD.replace("wikidata:", "wikidatum:"), "16:wikidatum: unknown key; did you mean 'wikidata'"),
    "unknown key, none near": (GOOD.replace("cameo:", "zzz:"), "17:zzz: unknown key, expected one of id, kind"),
    "unknown top key": (GOOD.replace("version:", "versoin:"), "2:versoin: unknown key; did you mean 'version'"),
    "missing id": (GOOD.replace("  - id: trade\n    kind", "  - kind"), "4:id: missing in a label"),
    "missing kind": (GOOD.replace("    kind: topic\n", ""), "4:kind: missing"),
    "missing ar": (GOOD.replace("    ar: تجارة\n", ""), "4:ar: missing"),
    "missing en": (GOOD.replace("    en: Port city\n", ""), "10:en: missing"),
    "missing definition": (GOOD.replace("    definition: Trade between states.\n", ""), "4:definition: missing"),
    "missing name": (GOOD.replace("name: mine\n", ""), "1:name: missing in the file"),
    "missing labels": ('name: mine\nversion: "1"\n', "1:labels: missing in the file"),
    "wrong kind": (GOOD.replace("kind: topic", "kind: theme"), "5:kind: 'theme', expected topic or actor"),
    "unknown parent": (
        GOOD.replace("parent: null", "parent: trode"),
        "15:parent: 'trode' is not a label of this file; did you mean 'trade'",
    ),
    "own parent": (GOOD.replace("parent: null", "parent: port_city"), "15:parent: port_city > port_city goes round"),
    "key twice": (GOOD.replace("    en: Trade\n", "    en: Trade\n    en: Trades\n"), "8:en: given twice"),
    "id with capital": (GOOD.replace("id: trade", "id: Trade"), "4:id: 'Trade' is no id"),
    "id with digit first": (GOOD.replace("id: trade", "id: 1trade"), "4:id: '1trade' is no id"),
    "number as id": (GOOD.replace("id: trade", "id: 7"), "4:id: expected text, got a number"),
    "truth value as name": (GOOD.replace("en: Trade\n", "en: No\n"), "7:en: expected text, got a truth value"),
    "number as version": (GOOD.replace('"1"', "1.0"), "2:version: expected text, got a number"),
    "null definition": (
        GOOD.replace("definition: Trade between states.", "definition:"),
        "8:definition: expected text",
    ),
    "blank name": (GOOD.replace("ar: تجارة", 'ar: "  "'), "6:ar: empty"),
    "aliases as text": (
        GOOD.replace("[commerce, التبادل التجاري]", "commerce"),
        "9:aliases: expected a list, got text",
    ),
    "alias as list": (GOOD.replace("[commerce,", "[[commerce],"), "9:aliases: expected text, got a list"),
    "wikidata without Q": (GOOD.replace("Q42", '"42"'), "16:wikidata: '42', expected Q and a number"),
    "label is text": (
        GOOD.replace("labels:\n", "labels:\n  - trade\n"),
        "4:labels: a label is text, expected a mapping",
    ),
    "labels is a mapping": ('name: a\nversion: "1"\nlabels: {a: b}\n', "3:labels: expected a list, got a mapping"),
    "no labels": ('name: a\nversion: "1"\nlabels: []\n', "3:labels: empty"),
    "file is a list": ("- a\n", "1:labels: the file is a list, expected a mapping"),
    "file is empty": ("", "1:labels: the file is empty"),
    "file is a comment": ("# nothing\n", "1:labels: the file is empty"),
    "not YAML": (GOOD.replace("version: ", "version: ["), "3:yaml: "),
    "two documents": (GOOD + "---\na: b\n", "18:yaml: "),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refuses_with_line_and_field(tmp_path: Path, name: str) -> None:
    text, expected = FAULTS[name]
    assert text != GOOD
    assert fault(tmp_path, text).startswith(expected)


def test_refuses_a_circle_of_parents(tmp_path: Path) -> None:
    text = GOOD.replace("    kind: topic\n", "    kind: topic\n    parent: port_city\n")
    text = text.replace("parent: null", "parent: trade")
    assert fault(tmp_path, text).startswith("6:parent: trade > port_city > trade goes round in a circle")


def test_missing_file_and_wrong_encoding_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(WusumError, match="No such file or directory; expected a label scheme"):
        load_taxonomy(tmp_path / "none.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: é".encode("latin-1"))
    with pytest.raises(WusumError, match="not UTF-8"):
        load_taxonomy(latin)
