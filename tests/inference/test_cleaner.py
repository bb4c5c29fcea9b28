"""The page cleaner: what it keeps, what it leaves out, and that no input makes it slow or fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wusum.inference.cleaner import CleanPage, clean_page, keep_lines
from wusum.inference.cleaner_cohesion import Story, stems, tokens
from wusum.inference.cleaner_lines import Kind, read_line

HEADLINE = "الوادي يتسلم محطة جديدة لتحلية المياه"
STORY = (
    "تسلم مجلس الوادي، اليوم الثلاثاء، محطة جديدة لتحلية المياه تكفي حاجة السكان طوال الصيف المقبل.",
    "وقال رئيس المجلس إن المحطة ستضخ المياه إلى سبع قرى في الوادي قبل نهاية الشهر.",
    "وأضاف أن كلفة المحطة بلغت ثلاثة ملايين، وأن المجلس سيفتح مكتبا لشكاوى السكان من انقطاع المياه.",
    "وكان سكان القرى قد شكوا العام الماضي من انقطاع المياه أسابيع متتالية.",
)
TEASERS = (
    (
        "المنتخب يغادر إلى المعسكر بلا حارسه الأول",
        "غادر لاعبو المنتخب صباحا إلى معسكرهم في الجبل. وغاب الحارس الأول بسبب إصابة لحقت به في المباراة الودية.",
    ),
    (
        "ارتفاع أسعار القهوة في البورصات للأسبوع الرابع",
        "ارتفعت أسعار القهوة في البورصات بعد موجة صقيع ضربت المزارع. وتوقع تجار أن تزيد الأسعار مع تراجع المحصول.",
    ),
)


def _kept(page: CleanPage) -> list[str]:
    return page.body.splitlines()


def _page(*parts: str) -> str:
    return "\n\n".join(parts)


def test_a_clean_article_comes_back_complete() -> None:
    page = clean_page("\n".join((HEADLINE, *STORY)))
    assert page == CleanPage(HEADLINE, "\n".join(STORY), 0, 5)


def test_one_long_line_comes_back_as_it_is() -> None:
    text = ".".join(sentence.rstrip(".") for sentence in STORY * 5) + "."
    assert clean_page(text) == CleanPage(None, text, 0, 1)


def test_furniture_around_the_story_goes() -> None:
    page = clean_page(
        _page(
            "الرئيسية » أخبار » محليات",
            f"{HEADLINE} - بوابة الخبر",
            "الثلاثاء 4 حزيران 2019 | 10:22 ص",
            "الوادي 31°",
            HEADLINE,
            "شارك الخبر",
            "Facebook",
            "نشر في: 4 يونيو 2019 - 10:22 م | آخر تحديث: 5 يونيو 2019",
            *STORY,
            "وكالة الوادي",
            "الأكثر قراءة",
            TEASERS[0][0],
            TEASERS[1][0],
            "أضف تعليقا",
            "لن يتم نشر عنوان بريدك الإلكتروني. الحقول الإلزامية مشار إليها بـ *",
            "جميع الحقوق محفوظة © 2019",
        )
    )
    assert page.title == HEADLINE
    assert _kept(page) == list(STORY)
    assert page.dropped == page.total - 1 - len(STORY)


@pytest.mark.parametrize("marker", ["RELATED NEWS", "اقرأ أيضا", "مواضيع ذات صلة:", "À lire aussi"])
def test_teasers_after_a_marker_go(marker: str) -> None:
    page = clean_page(_page(HEADLINE, *STORY, "وكالة الوادي", marker, *TEASERS[0], *TEASERS[1]))
    assert _kept(page) == list(STORY)


def test_teasers_without_a_marker_go() -> None:
    page = clean_page(_page(HEADLINE, *STORY, "وكالة الوادي", *TEASERS[0], *TEASERS[1]))
    assert _kept(page) == list(STORY)


@pytest.mark.parametrize("opening", ["وزير", "واصل", "في", "ويكيليكس", "بالتزامن مع ذلك"])
def test_a_teaser_under_a_headline_that_opens_like_a_linked_line_goes(opening: str) -> None:
    headline = f"{opening} الزراعة يعلن موعد حصاد القمح في سهول الشمال"
    teaser = f"{headline} بعد أسابيع من الجفاف. وتوقع مزارعون أن يقل المحصول عن العام الماضي."
    page = clean_page(_page(HEADLINE, *STORY, "أخبار ذات صلة", *TEASERS[0], headline, teaser, *TEASERS[1]))
    assert _kept(page) == list(STORY)


def test_teasers_before_the_headline_go() -> None:
    page = clean_page(_page("آخر الأخبار", *TEASERS[0], *TEASERS[1], HEADLINE, HEADLINE, *STORY))
    assert (page.title, _kept(page)) == (HEADLINE, list(STORY))


@pytest.mark.parametrize("paragraphs", [1, 4])
def test_a_teaser_between_the_headline_and_the_story_goes(paragraphs: int) -> None:
    menu = ("منبر القراء", "سوق الكلام", "المراسلون")
    page = clean_page(_page(*menu, HEADLINE, TEASERS[0][1], "ق. و / وكالات", "مكتب الوادي", *STORY[:paragraphs]))
    assert (page.title, _kept(page)) == (HEADLINE, list(STORY[:paragraphs]))


def test_a_headline_that_stands_behind_a_field_label_too_is_given_without_it() -> None:
    page = clean_page(_page(f"العنوان: {HEADLINE}", "رقم السجل: 351", "النص الكامل", HEADLINE, *STORY))
    assert (page.title, _kept(page)) == (HEADLINE, list(STORY))


@pytest.mark.parametrize(
    "box",
    [
        ("إقرأ المزيد: المنتخب يغادر إلى المعسكر بلا حارسه الأول",),
        ("اقرأ أيضا", TEASERS[0][0], TEASERS[1][0]),
        ("شاهد أيضا", "فيديو.. لحظة وصول المنتخب"),
        ("قد يهمك أيضا", *TEASERS[0]),
    ],
)
def test_a_box_in_the_story_does_not_cut_it(box: tuple[str, ...]) -> None:
    page = clean_page(_page(HEADLINE, *STORY[:2], *box, *STORY[2:]))
    assert _kept(page) == list(STORY)


@pytest.mark.parametrize(
    ("skip", "end"),
    [
        ("تجاوز قسم البودكاست وتابع القراءة", "نهاية قسم البودكاست"),
        ("تخطى قصص مقترحة وواصل القراءة", "نهاية قصص مقترحة"),
        ("تخطى البودكاست وواصل القراءة", "البودكاست نهاية"),
        ("تخطَّ الأكثر قراءة وتابع", "نهاية الأكثر قراءة"),
        ("أهمل YouTube مشاركة", "نهاية YouTube مشاركة"),
        ("Skip podcast promotion and continue reading", "End of podcast promotion"),
        ("Skip podcast promotion and continue reading", "End of story podcast promotion"),
        ("Skip YouTube post", "End of YouTube post"),
    ],
)
def test_what_screen_readers_are_told_to_skip_goes(skip: str, end: str) -> None:
    box = (skip, "بودكاست", "برنامج أسبوعي عن المياه والقرى يحاور السكان حول ما يشغلهم.", "حلقات المحطة", end)
    page = clean_page("\n".join((HEADLINE, STORY[0], *box, *STORY[1:])))
    assert page == CleanPage(HEADLINE, "\n".join(STORY), 5, 10)


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("تجاوز قسم البودكاست وتابع القراءة", "نهاية الموسم"),
        ("تجاوز الأزمة", "نهاية الأزمة"),
        ("تخطي إلى المحتوى الرئيسي", "نهاية المحتوى الرئيسي"),
        ("Skip to main content", "End of main content"),
    ],
)
def test_a_story_between_other_lines_that_look_like_such_marks_stays(above: str, below: str) -> None:
    page = clean_page("\n".join((HEADLINE, above, *STORY, below)))
    assert [line for line in _kept(page) if line in STORY] == list(STORY)


def test_a_story_of_one_paragraph_stays_alone_above_buttons_and_a_teaser() -> None:
    buttons = ("تحرير: س.ك", "مشاركة:", "فيسبوك", "تلغرام")
    page = clean_page("\n".join((HEADLINE, "5 حزيران 2019", STORY[0], *buttons, *TEASERS[0], *TEASERS[1])))
    assert _kept(page) == [STORY[0]]


def test_a_headline_of_another_story_between_two_paragraphs_goes() -> None:
    page = clean_page(_page(HEADLINE, *STORY[:2], f"للاطلاع على الملف: {TEASERS[0][0]}", *STORY[2:]))
    assert _kept(page) == list(STORY)


def test_a_caption_with_its_agency_goes() -> None:
    page = clean_page(_page(HEADLINE, "رئيس مجلس الوادي أمام المحطة الجديدة أمس. (وكالات)", "منذ ساعتين", *STORY))
    assert _kept(page) == list(STORY)


def test_a_story_of_one_credited_line_stays() -> None:
    line = "تسلم مجلس الوادي أمس محطة جديدة لتحلية المياه. (وكالات)"
    assert _kept(clean_page(_page(HEADLINE, line))) == [line]


def test_a_crosshead_stays() -> None:
    page = clean_page(_page(HEADLINE, *STORY[:2], "شكاوى السكان", *STORY[2:]))
    assert "شكاوى السكان" in _kept(page)


def test_the_headline_is_not_repeated_in_the_body() -> None:
    page = clean_page(_page(HEADLINE, STORY[0], HEADLINE, *STORY[1:]))
    assert (page.title, _kept(page)) == (HEADLINE, list(STORY))


def test_a_headline_alone_is_the_body() -> None:
    assert clean_page(HEADLINE) == CleanPage(None, HEADLINE, 0, 1)


@pytest.mark.parametrize("text", ["", "\n \n\t\n", "---\n***", "\0", "\u200f"])
def test_nothing_to_keep(text: str) -> None:
    page = clean_page(text)
    assert (page.title, page.body) == (None, "")


def test_lines_and_page_agree() -> None:
    lines = _page("الرئيسية", HEADLINE, *STORY, "شارك الخبر").split("\n")
    kept = [line for line, keep in zip(lines, keep_lines(lines), strict=True) if keep]
    assert kept == [HEADLINE, *STORY]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("الأربعاء 24 أبريل 2024 4:59 م", Kind.FURNITURE),
        ("12 كانون الثاني 2015", Kind.FURNITURE),
        ("08.06.2018 | 11:26", Kind.FURNITURE),
        ("المدينة 24°", Kind.FURNITURE),
        ("أَخبارٌ عَربيّة", Kind.FURNITURE),
        ("#مياه #الوادي", Kind.FURNITURE),
        ("RELATED NEWS", Kind.BOX),
        ("قد يعجبك أيضًا", Kind.BOX),
        ("اقرأ المزيد: خبر آخر", Kind.POINTER),
        ("سكان الوادي ينتظرون", Kind.SHORT),
        ("المُدخِل: س. ق. المُراجع: ه. ن.", Kind.SHORT),
        ("انضم إلى المجلس في العام الماضي ثلاثة أعضاء يمثلون القرى البعيدة عن النهر.", Kind.PROSE),
    ],
)
def test_kinds_of_lines(text: str, kind: Kind) -> None:
    line = read_line(0, text, foreign=True)
    assert line is not None
    assert line.kind is kind


def test_a_story_knows_its_own() -> None:
    story = Story(stems(tokens(line)) for line in STORY[:3])
    own = story.log_odds(stems(tokens(STORY[3])), linked=True, member=False)
    other = story.log_odds(stems(tokens(TEASERS[0][1])), linked=False, member=False)
    assert own > 0 > other


def _one_line() -> str:
    return (STORY[0] + " ") * (5_000_000 // (2 * len(STORY[0])))


def _many_lines() -> str:
    return "\n".join(f"قال السكان إن الماء رقم {number} وصل." for number in range(20_000))


def _many_short_lines() -> str:
    return "\n".join(f"القرية {number} تنتظر الماء" for number in range(200_000))


@pytest.mark.parametrize("make", [_one_line, _many_lines, _many_short_lines])
def test_very_large_pages(make: Callable[[], str]) -> None:
    text = make()
    page = clean_page(text)
    assert len(page.body) > 0.9 * len(text.strip())


@pytest.mark.parametrize("odd", ["\0", "\ud800", "\udfff\0", "\u202b", "ً"])
def test_odd_characters(odd: str) -> None:
    page = clean_page(odd + ("\n" + odd).join((HEADLINE, *STORY)) + odd)
    assert len(_kept(page)) == len(STORY)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from((HEADLINE, *STORY, *TEASERS[0], "اقرأ أيضا", "", "2019", "\ud800", "شارك")), max_size=12)
)
def test_any_order_of_lines(lines: list[str]) -> None:
    page = clean_page("\n".join(lines))
    assert page.total == sum(bool(line.strip()) for line in lines)
    assert len(_kept(page)) + page.dropped + (page.title is not None) == page.total
    assert sum(keep_lines(lines)) == page.total - page.dropped
    assert set(_kept(page)) <= set(lines)


SHARED_PAGES = {
    "000": ({2}, range(5, 12), {4}),
    "001": ({2}, range(3, 12), set[int]()),
    "002": ({1, 12}, (19, 21, 23, 25, 27, 34, 36, 38, 40, 42), {14, 15, 30, 32}),
    "003": ({3}, range(7, 18, 2), set[int]()),
    "004": ({1}, (3, 5, 7, 9, 13), set[int]()),
}
"""By page: line numbers from 1 of the headline, of the body, and of captions, which may go or stay."""


@pytest.mark.parametrize("name", SHARED_PAGES)
def test_shared_pages(shared: Path, name: str) -> None:
    text = next((shared / "pages").glob(f"{name}_*.txt")).read_text("utf-8")
    headline, body, captions = SHARED_PAGES[name]
    lines = text.splitlines()
    kept = {number for number, keep in enumerate(keep_lines(lines), start=1) if keep}
    assert kept - captions - headline == set(body)
    assert len(kept & headline) == 1
    title = clean_page(text).title
    assert title is not None
    assert all(title in lines[number - 1] for number in headline)


def test_our_own_pages() -> None:
    folder = Path(__file__).resolve().parents[2] / "labels" / "samples"
    expected = [json.loads(line) for line in (folder / "expected.jsonl").read_text("utf-8").splitlines()]
    pages = [entry for entry in expected if "furniture" in entry]
    assert pages
    for entry in pages:
        page = clean_page((folder / entry["path"]).read_text("utf-8"))
        out = f"{page.title or ''}\n{page.body}"
        assert [text for text in entry["furniture"] if text in out] == [], entry["path"]
        assert [text for text in entry["body"] if text not in out] == [], entry["path"]
