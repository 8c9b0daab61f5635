"""How a run that failed is told: what was the matter outside, never what an error of a record may quote."""

from crmbridge.errors import WORDS_KEPT, AccessError, RefusedError, TryLater, failed_words


def test_trouble_outside_is_told_in_its_own_sentence() -> None:
    assert failed_words(AccessError("The login was refused.")) == "failed: AccessError: The login was refused."
    assert failed_words(TryLater("No answer.\nof dynamics")) == "failed: TryLater: No answer."
    assert failed_words(TryLater("")) == "failed: TryLater"


def test_a_long_sentence_is_cut() -> None:
    told = failed_words(TryLater("x" * (WORDS_KEPT + 1)))
    assert told.endswith("x...")
    assert len(told) == len("failed: TryLater: ") + WORDS_KEPT + 3


def test_what_a_crm_says_of_a_record_is_not_told() -> None:
    assert failed_words(RefusedError("Ada Lovelace is on file already.")) == "failed: RefusedError"
