"""Captioned shapes: captions say what is drawn, and the checker sees it, also through noise and blur."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from llm_tutorial.data import shapes
from llm_tutorial.data.shapes import (
    COLOURS,
    SHAPES,
    SPLITS,
    WORDINGS,
    Images,
    Scene,
    Thing,
    caption,
    describe,
    draw,
    held_out,
    obeys,
    scenes,
)


def noise(image: Images, rng: np.random.Generator, strength: float = 10) -> Images:
    return np.clip(np.rint(image + rng.normal(0, strength, image.shape)), 0, 255).astype(np.uint8)


def blur(image: Images, rng: np.random.Generator) -> Images:
    strength = 0.6 * len(image) / 32  # pixels, at a side of 32
    return np.rint(ndimage.gaussian_filter(image.astype(float), (strength, strength, 0))).astype(np.uint8)


def both(image: Images, rng: np.random.Generator) -> Images:
    return noise(blur(image, rng), rng)


@pytest.mark.parametrize(
    ("side", "spoilt"), [(32, lambda image, _: image), (32, noise), (32, blur), (32, both), (64, both)]
)
def test_the_checker_is_right_on_a_thousand_drawings(
    side: int, spoilt: Callable[[Images, np.random.Generator], Images]
) -> None:
    rng = np.random.default_rng(0)
    asked = [scene for split in SPLITS for things in (1, 2) for scene in scenes(167, split, things=things)]
    right = Counter[str]()
    for seed, scene in enumerate(asked):
        seen = obeys(spoilt(draw(scene, side, seed), rng), scene)
        right.update(name for name, so in seen.items() if so)
        right["all"] += all(seen.values())
    assert len(asked) == 1002
    assert min(right[name] for name in ("all", "count", "colour", "shape", "size")) >= 0.99 * len(asked)
    assert min(right["place"], right["relation"]) >= 0.99 * len(asked) / 2


@pytest.mark.parametrize("things", [1, 2])
def test_a_picture_of_another_scene_does_not_obey(things: int) -> None:
    drawn = scenes(200, seed=0, things=things)
    asked = scenes(200, seed=1, things=things)
    for seed, (one, other) in enumerate(zip(drawn, asked, strict=True)):
        seen = obeys(draw(one, 32, seed), other)
        if things == 1:
            expected = {name: getattr(one.things[0], name) == getattr(other.things[0], name) for name in Thing._fields}
            assert seen == {"count": True, **expected}
        else:
            assert all(seen.values()) is (_as_set(one) == _as_set(other))


def _as_set(scene: Scene) -> set[object]:
    """A scene of two things, whichever is named first."""
    turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    first, second = scene.things
    return {(first, second, scene.relation), (second, first, turned[scene.relation or ""])}


def test_colours_of_two_things_must_not_be_exchanged() -> None:
    asked = Scene((Thing("red", "star"), Thing("blue", "square")), "left of")
    exchanged = Scene((Thing("blue", "star"), Thing("red", "square")), "left of")
    assert not obeys(draw(exchanged), asked)["colour"]
    assert all(obeys(draw(exchanged), exchanged).values())


def test_what_is_left_open_is_not_checked() -> None:
    assert obeys(draw(Scene((Thing("red", None),))), Scene((Thing("red", None),))) == {"count": True, "colour": True}


def test_an_empty_picture_and_a_black_one_obey_nothing() -> None:
    for grey in (0, 255):
        image = np.full((32, 32, 3), grey, np.uint8)
        assert not any(obeys(image, Scene((Thing("red", "star", "small", "top"),))).values()) or grey == 0
        asked = Scene((Thing("red", "star"), Thing("blue", "square")), "left of")
        assert not any(obeys(image, asked).values())


def test_most_blots_are_no_shape() -> None:
    rng = np.random.default_rng(0)
    fields = ndimage.gaussian_filter(rng.normal(size=(40, 32, 32)), (0, 2, 2))
    fields /= fields.std((1, 2), keepdims=True)
    seen = Counter[str | None]()
    for field in fields:
        image = np.where(field[..., None] > 0.5, (220, 40, 40), (255, 255, 255)).astype(np.uint8)
        seen.update(found.thing.shape for found in describe(image))
    assert seen["unclear"] > 0.5 * seen.total()


def test_held_out_pairs_are_in_no_training_scene_but_their_colours_and_shapes_are() -> None:
    training = [thing for scene in scenes(3000, "train") for thing in scene.things]
    assert not any(held_out(str(thing.colour), str(thing.shape)) for thing in training)
    assert {thing.colour for thing in training} == set(COLOURS)
    assert {thing.shape for thing in training} == set(SHAPES)
    pairs = {(thing.colour, thing.shape) for thing in training}
    assert len(pairs) == len(COLOURS) * len(SHAPES) - 8
    for scene in scenes(500, "combinations"):
        assert any(held_out(str(thing.colour), str(thing.shape)) for thing in scene.things)


def test_no_scene_of_validation_is_in_training() -> None:
    assert set(scenes(2000, "validation")).isdisjoint(scenes(5000, "train"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_caption_means_one_scene(language: shapes.Language) -> None:
    drawn = set(scenes(2000))
    for wording in range(WORDINGS):
        assert len({caption(scene, language, wording) for scene in drawn}) == len(drawn)


def test_a_drawing_is_antialiased_and_depends_on_its_seed_alone() -> None:
    scene = scenes(1)[0]
    assert (draw(scene, 64, 5) == draw(scene, 64, 5)).all()
    assert (draw(scene, 64, 5) != draw(scene, 64, 6)).any()
    assert len(np.unique(draw(scene, 64, 5))) > 10


def test_bad_input_is_a_clear_error() -> None:
    one = Scene((Thing("red", "star"),))
    with pytest.raises(ValueError, match="unknown split 'test'; there are train, validation, combinations"):
        scenes(1, "test")
    with pytest.raises(ValueError, match="1 or 2 things, not 3"):
        scenes(1, things=3)
    with pytest.raises(ValueError, match="a scene has one thing, or two and a relation"):
        draw(Scene((one.things[0], one.things[0])))
    with pytest.raises(ValueError, match="a side of at least 16 pixels, not 8"):
        draw(one, 8)
    with pytest.raises(ValueError, match="unknown language 'fr'; there are en, zh"):
        caption(one, "fr")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a wording from 0 to 2, not 3"):
        caption(one, wording=3)
    with pytest.raises(ValueError, match=r"a picture of shape \(side, side, 3\) in uint8"):
        describe(np.zeros((3, 32, 32), np.uint8))
