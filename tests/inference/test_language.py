"""Other languages get no label."""

import random

import pytest

from wusum.inference.language import language_note
from wusum.training.spelling import RESPELLINGS

ARABIC = (
    "قال وزير الخارجية إن بلاده ترحب بالاتفاق الذي وقع في العاصمة، وأضاف أن اللقاء مع نظيره كان مثمراً وأن الجانبين "
    "اتفقا على مواصلة المشاورات خلال الأسابيع المقبلة من أجل تنفيذ ما تم التوصل إليه."
)
OTHERS = {
    "English": "The foreign minister welcomed the agreement signed in the capital and said talks would go on.",
    "Persian": (
        "وزیر امور خارجه گفت که کشورش از توافق امضا شده در پایتخت استقبال می‌کند و افزود که دیدار با همتای خود سازنده "
        "بوده است و دو طرف توافق کردند که رایزنی‌ها را در هفته‌های آینده برای اجرای این توافق ادامه دهند."
    ),
    "Urdu": (
        "وزیر خارجہ نے کہا کہ ان کا ملک دارالحکومت میں ہونے والے معاہدے کا خیر مقدم کرتا ہے اور یہ کہ ہم منصب کے ساتھ "
        "ملاقات مفید رہی اور دونوں فریقوں نے آنے والے ہفتوں میں مشاورت جاری رکھنے پر اتفاق کیا ہے۔"
    ),
    "digits": "2024 - 15 / 300",
    "emoji": "🎉🎉🎉",
}


def test_arabic_passes() -> None:
    assert language_note(ARABIC) is None


@pytest.mark.parametrize("respelling", RESPELLINGS)
def test_arabic_passes_however_it_is_spelt(respelling: str) -> None:
    assert language_note(RESPELLINGS[respelling](ARABIC, random.Random(3))) is None


def test_persian_with_words_that_folding_makes_arabic_is_persian() -> None:
    text = (
        "علی رئیس کل بانک مرکزی در نشست خبری بین المللی اعلام کرد که نرخ ارز غیر رسمی کاهش یافته است و علی رغم تحریم "
        "ها کل درآمد کشور بین دو سال گذشته افزایش داشته و دولت برنامه ای غیر از این ندارد"
    )
    assert language_note(text) is not None


def test_arabic_with_latin_names_passes() -> None:
    assert language_note(ARABIC + " (Reuters, AFP, United Nations)") is None


def test_short_headline_passes() -> None:
    assert language_note("لقاء في جنيف") is None


@pytest.mark.parametrize("language", OTHERS)
def test_others_are_named(language: str) -> None:
    note = language_note(OTHERS[language])
    assert note is not None
    assert "no label given" in note


def test_our_samples_are_arabic(samples: list[dict[str, str]]) -> None:
    assert [row["id"] for row in samples if language_note(row["text"])] == []
