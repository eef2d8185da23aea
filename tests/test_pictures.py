"""Every stratum has its share, and a batch depends on seed and step alone."""

from collections import Counter

import pytest

from llm_tutorial.data.openmoji import TONES, openmoji
from llm_tutorial.pictures import Shares, by_subject, picture_tensor, scaled, stratum

PICTURES = openmoji("train", "combination")


def test_every_tone_has_the_share_of_a_group() -> None:
    drawn = Counter(stratum(PICTURES[index]) for index in Shares(PICTURES).batch(0, 30_000))
    for tone in [*TONES.values(), "yellow", "Flags"]:
        assert drawn[tone] == pytest.approx(30_000 / len(drawn), rel=0.1)


def test_shares_by_subject_give_single_pictures_their_chance() -> None:
    shares = by_subject(PICTURES, people=0.4)
    drawn = Counter(stratum(PICTURES[index]) for index in Shares(PICTURES, shares).batch(0, 30_000))
    assert sum(drawn[tone] for tone in TONES.values()) == pytest.approx(30_000 * 0.4 * 5 / 7, rel=0.05)
    assert drawn["Objects"] == pytest.approx(30_000 * shares["Objects"], rel=0.1)


def test_a_batch_depends_on_seed_and_step() -> None:
    shares = Shares(PICTURES)
    assert (shares.batch(3) == Shares(PICTURES).batch(3)).all()
    assert (shares.batch(3) != shares.batch(4)).any()
    assert (shares.batch(3) != Shares(PICTURES, seed=1).batch(3)).any()


def test_no_pictures_and_forgotten_strata_are_refused() -> None:
    with pytest.raises(ValueError, match="没有图片"):
        Shares([])
    with pytest.raises(ValueError, match="Flags"):
        Shares(PICTURES, {"dark": 1.0})


def test_pictures_are_numbers_from_minus_one_to_one() -> None:
    pictures = scaled(picture_tensor(PICTURES[:8]))
    assert pictures.shape == (8, 3, 32, 32)
    assert pictures.max() == 1
    assert pictures.min() >= -1
