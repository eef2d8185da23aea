"""OpenMoji: what is promised about names, splits, duplicates, drawings and balance."""

import time
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from llm_tutorial.data import openmoji as module
from llm_tutorial.data.openmoji import Balanced, Picture, drawings, openmoji, prompt, shared_prompts
from llm_tutorial.data.splits import SPLITS

KINDS = pytest.mark.parametrize("kind", ["recognition", "combination"])


def named(english: str) -> Picture:
    [picture] = [picture for picture in openmoji() if picture.english == english]
    return picture


def test_three_in_five_pictures_show_people_and_nine_groups_are_there() -> None:
    assert Counter(picture.group for picture in openmoji()) == {
        "People & Body": 2374,
        "Flags": 270,
        "Objects": 266,
        "Symbols": 224,
        "Travel & Places": 219,
        "Smileys & Emotion": 171,
        "Animals & Nature": 160,
        "Food & Drink": 131,
        "Activities": 85,
    }


@KINDS
def test_every_picture_is_in_one_split_and_no_drawing_is_in_two(kind: module.Kind) -> None:
    splits = {split: openmoji(split, kind) for split in SPLITS}
    assert Counter(picture for of_split in splits.values() for picture in of_split) == Counter(openmoji())
    for first, second in combinations(SPLITS, 2):
        assert {picture.drawing for picture in splits[first]}.isdisjoint(picture.drawing for picture in splits[second])


def test_all_tones_and_genders_of_a_subject_and_what_looks_like_it_are_in_one_split() -> None:
    splits = defaultdict(set)
    for split in SPLITS:
        for picture in openmoji(split):
            splits[picture.base].add(split)
    assert set(map(len, splits.values())) == {1}
    assert splits["1F311"] == splits["circle"]  # the new moon and the black circle
    assert splits["1F1F3-1F1F4"] == splits["1F1F8-1F1EF"]  # Norway, Svalbard & Jan Mayen


def test_parts_of_a_held_out_combination_occur_in_training_but_never_together() -> None:
    training = openmoji("train", "combination")
    seen = {part for picture in training for part in picture.parts}
    together = {picture.parts for picture in training if picture.parts}
    for split in ("validation", "test"):
        for picture in openmoji(split, "combination"):
            assert len(picture.parts) >= 2
            assert picture.parts <= seen
            assert picture.parts not in together


def test_hearts_shapes_hands_and_professions_are_held_out() -> None:
    held_out = openmoji("test", "combination")
    counts = Counter(picture.subgroup for picture in held_out)
    assert counts["person-role"] == 48
    assert (counts["heart"], counts["geometric"]) == (3, 3)
    assert sum(count for subgroup, count in counts.items() if subgroup.startswith("hand")) == 29


@pytest.mark.parametrize(
    ("english", "base", "gender", "tones"),
    [
        ("red heart", "heart", "", ()),
        ("man cook", "1F9D1-200D-1F373", "man", ()),
        ("princess: light skin tone", "1FAC5", "woman", ("light",)),
        ("woman walking facing right: dark skin tone", "1F6B6", "woman", ("dark",)),
        ("handshake: dark skin tone, light skin tone", "1F91D", "", ("dark", "light")),
        ("kiss: woman, man, medium skin tone, dark skin tone", "1F48F", "woman and man", ("medium", "dark")),
        ("family: man, woman, girl", "1F46A", "woman and man", ()),
        ("female sign", "2640", "", ()),
    ],
)
def test_a_name_and_a_code_say_who_is_drawn(english: str, base: str, gender: str, tones: tuple[str, ...]) -> None:
    picture = named(english)
    assert (picture.base, picture.gender, picture.tones) == (base, gender, tones)


def test_names_are_clean_and_no_two_prompts_are_equal() -> None:
    pictures = openmoji()
    assert not [picture for picture in pictures if set(":_") & set(picture.english.replace(": ", "") + picture.chinese)]
    assert all(picture.english.strip() and picture.chinese.strip() for picture in pictures)
    assert shared_prompts(pictures) == shared_prompts(pictures, "zh") == {}
    twice = [named("red heart"), named("red heart")._replace(code="other")]
    assert shared_prompts(twice) == {"red heart": ["2764-FE0F", "other"]}


@pytest.mark.parametrize(
    ("english", "phrase", "chinese"),
    [
        ("red heart", "red heart", "红心"),
        ("woman: bald", "bald woman", "秃顶的女人"),
        ("person: dark skin tone, red hair", "person with dark skin tone and red hair", "较深肤色和红发的成人"),
        (
            "kiss: woman, man, light skin tone, dark skin tone",
            "kiss, woman and man, with light skin tone and dark skin tone",
            "较浅肤色和较深肤色的女人和男人的亲吻",
        ),
        ("person swimming: light skin tone", "person swimming with light skin tone", "较浅肤色的人，游泳"),
        ("family: man, woman, girl", "family of man, woman and girl", "男人、女人和女孩的家庭"),
        ("keycap: #", "keycap #", "按键#"),
        ("flag: Congo - Kinshasa", "flag of Congo - Kinshasa", "刚果（金）的旗帜"),
    ],
)
def test_a_prompt_reads_like_a_wish(english: str, phrase: str, chinese: str) -> None:
    assert (prompt(named(english)), prompt(named(english), "zh")) == (phrase, chinese)


def test_tones_that_are_not_drawn_are_left_out_and_shared_drawings_are_named() -> None:
    pairs = [picture for picture in openmoji() if picture.english.startswith("people wrestling")]
    assert len(pairs) == 6  # yellow and five tones; the twenty pairs of tones are all drawn yellow
    assert named("man cook: medium skin tone").drawing == named("cook: medium skin tone").code
    assert named("flag: Svalbard & Jan Mayen").drawing == named("flag: Bouvet Island").code


def test_the_committed_duplicates_are_those_of_the_drawings() -> None:
    assert module.find_duplicates() == module._duplicates()


def test_drawings_show_what_their_names_say() -> None:
    def mean(english: str, **options: object) -> list[int]:
        return [round(value) for value in drawings([named(english)], 64, **options).mean((0, 1, 2))]  # type: ignore[arg-type]

    assert mean("red heart") == pytest.approx([230, 191, 190], abs=2)
    assert mean("red heart", layer="line") == pytest.approx([240, 240, 240], abs=2)
    assert mean("red heart", background=(0, 0, 255))[0] < mean("red heart")[0]
    tones = ["light", "medium-light", "medium", "medium-dark", "dark"]
    brightness = [sum(mean(f"raised hand: {tone} skin tone")) for tone in tones]
    assert brightness == sorted(brightness, reverse=True)


def test_a_transparent_drawing_laid_on_a_colour_is_the_drawing_on_that_colour() -> None:
    pictures, colour = openmoji()[::100], (10, 200, 30)
    flat = drawings(pictures, 32, background=colour)
    for expected, straight in zip(flat, drawings(pictures, 32, background=None), strict=True):
        ground = Image.new("RGBA", (32, 32), (*colour, 255))
        ground.alpha_composite(Image.fromarray(straight))
        np.testing.assert_allclose(np.asarray(ground)[..., :3], expected, atol=2)


def test_lines_are_black_on_white_and_hardly_a_drawing_has_none() -> None:
    lines = drawings(openmoji(), 64, "line")
    assert lines.shape == (3900, 64, 64, 3)
    blank = [picture.english for picture, line in zip(openmoji(), lines, strict=True) if line.min() > 250]
    assert blank == ["FREE button", "ID button", "NEW button", "P button", "Japanese “bargain” button"]


@pytest.mark.alone
def test_a_second_load_takes_well_under_a_second() -> None:
    drawings(openmoji(), 64)
    module._drawn.cache_clear()
    start = time.perf_counter()
    drawings(openmoji(), 64)
    assert time.perf_counter() - start < 0.8


def test_groups_have_equal_shares_and_tones_as_well() -> None:
    pictures = openmoji("train", "combination")
    balanced = Balanced(pictures, seed=3)
    batches = [balanced.batch(step, 63) for step in range(200)]
    assert all(set(Counter(pictures[index].group for index in batch).values()) == {7} for batch in batches)
    tones = Counter(pictures[index].tones for batch in batches for index in batch if pictures[index].gender)
    counts = [tones[(tone,)] for tone in module.TONES.values()]
    assert max(counts) < 1.4 * min(counts)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    pictures = openmoji("train")
    first, second = Balanced(pictures, seed=1), Balanced(pictures, seed=1)
    first.batch(0)
    assert first.batch(7, 50).tolist() == second.batch(7, 50).tolist() != Balanced(pictures).batch(7, 50).tolist()


def test_bad_input_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="unknown split 'dev'; there are train, validation, test"):
        openmoji("dev")
    with pytest.raises(ValueError, match="unknown kind 'x'; there are recognition, combination"):
        openmoji("train", "x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a size from 8 to 512 pixels, not 4"):
        drawings(openmoji()[:1], 4)
    with pytest.raises(ValueError, match="unknown layer 'hair'; there are color, line"):
        drawings(openmoji()[:1], layer="hair")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown language 'fr'; there are en, zh"):
        prompt(openmoji()[0], "fr")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no pictures to choose from"):
        Balanced([])
