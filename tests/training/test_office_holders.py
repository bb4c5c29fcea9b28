"""Names of other years: another holder of the same office stands in the same sentence."""

import random
from pathlib import Path

import pytest

pytest.importorskip("torch")

from wusum.labels import WusumError
from wusum.training.office_holders import OfficeHolders

SECRETARIES = ["جون | كيري", "أنتوني | بلينكن"]


def exchanged(text: str, offices: list[list[str]], article: str | None = None) -> str:
    holders = OfficeHolders(offices)
    [told] = holders.exchange([text], holders.named(article or text), random.Random(0))
    return told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("قال جون كيري إن", "قال أنتوني بلينكن إن"),
        ("وأكد كيري أن جون كيري سيعود", "وأكد بلينكن أن أنتوني بلينكن سيعود"),
        ("التقى بجون كيري ولكيري موقف", "التقى بأنتوني بلينكن ولبلينكن موقف"),
        ("قال جون كيرينسكي", "قال جون كيرينسكي"),
    ],
)
def test_full_and_short_names_are_exchanged_with_what_is_attached(text: str, told: str) -> None:
    assert exchanged(text, [SECRETARIES]) == told


def test_a_short_name_counts_only_where_the_full_one_stands_in_the_article() -> None:
    assert exchanged("وصل كيري", [SECRETARIES]) == "وصل كيري"
    assert exchanged("وصل كيري", [SECRETARIES], article="جون كيري") == "وصل بلينكن"


def test_other_spellings_of_a_name_are_found() -> None:
    offices = [["أحمد الشرع", "حافظ الأسد"], ["عبد ربه منصور هادي", "رشاد العليمي"]]
    assert exchanged("قال احمد الشرع", offices) == "قال حافظ الأسد"
    assert exchanged("عبدربه منصور هادى", offices) == "رشاد العليمي"


def test_nobody_is_exchanged_for_one_whom_the_article_names() -> None:
    offices = [["جون | كيري", "أنتوني | بلينكن", "كولن | باول"]]
    assert exchanged("جون كيري وكولن باول", offices) == "أنتوني بلينكن وأنتوني بلينكن"
    assert exchanged("جون كيري وكولن باول وأنتوني بلينكن", offices) == "جون كيري وكولن باول وأنتوني بلينكن"


def test_a_name_without_a_short_one_needs_its_full_form() -> None:
    offices = [["نبيل العربي", "عمرو موسى"]]
    assert exchanged("نبيل العربي والعالم العربي", offices) == "عمرو موسى والعالم العربي"


def test_the_packaged_offices_are_sound() -> None:
    holders = OfficeHolders.load()
    [kerry] = holders.named("وزير الخارجية الأمريكي جون كيري")
    assert kerry.short == "كيري"
    told = {holders.exchange(["كيري"], [kerry], random.Random(seed))[0] for seed in range(50)}
    assert {"بلينكن", "روبيو", "باول"} <= told
    assert "كيري" not in told


@pytest.mark.parametrize("content", ["{", "- one name", "- [one]", "- [a, 1]", "names: []"])
def test_what_is_no_list_of_names_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "names.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WusumError, match=r"names\.yaml: .*expected a list of lists of"):
        OfficeHolders.load(path)


def test_one_name_in_two_offices_is_refused() -> None:
    with pytest.raises(WusumError, match="أحمد أبو الغيط: stands twice"):
        OfficeHolders([["احمد ابو الغيط", "عمرو موسى"], ["أحمد أبو الغيط", "سامح شكري"]])
