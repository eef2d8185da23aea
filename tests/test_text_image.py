"""The checker of drawings: its towers, its loss and its ranks; colours counted pixel by pixel."""

import pytest
import torch

from llm_tutorial.adherence import (
    SKIN,
    Names,
    nearest_colours,
    nearest_pictures,
    real_pictures,
    skin_tones,
)
from llm_tutorial.captions import word_tokenizer
from llm_tutorial.data.openmoji import TONES, openmoji, prompt
from llm_tutorial.text_image import (
    Checker,
    Example,
    Siblings,
    TextImageModel,
    candidates,
    contrastive_loss,
    in_tones,
    names_tokenizer,
    roughened,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TextImageModel(len(names_tokenizer()), width=16, channels=(8, 8, 8)).eval()


def test_a_text_is_the_same_with_more_padding(model):
    short = names_tokenizer()(["red heart"], return_tensors="pt").input_ids
    padded = torch.cat([torch.zeros(1, 5).long(), short], 1)
    assert torch.allclose(model.embed_texts(short), model.embed_texts(padded), atol=1e-5)


def test_the_order_of_words_matters(model):
    ids = names_tokenizer()(["dark heart red", "red heart dark"], return_tensors="pt").input_ids
    first, second = model.embed_texts(ids)
    assert not torch.allclose(first, second, atol=1e-3)


def test_the_loss_is_cross_entropy_both_ways(model):
    torch.manual_seed(0)
    batch = [Example(torch.randn(3, 32, 32), torch.randint(4, 50, (6,)), number) for number in range(4)]
    scores = model(torch.stack([b.image for b in batch]), torch.stack([b.ids for b in batch]))
    want = -(scores.log_softmax(1).diag() + scores.log_softmax(0).diag()).sum() / 2
    assert contrastive_loss(model, batch, "cpu").item() == pytest.approx(want.item(), rel=1e-4)


def test_pictures_that_are_drawn_alike_are_right_for_each_other(model):
    torch.manual_seed(0)
    image = torch.randn(3, 32, 32)
    batch = [Example(image, torch.randint(4, 50, (6,)), 7) for _ in range(2)]
    scores = model(torch.stack([image, image]), torch.stack([b.ids for b in batch]))
    want = -(scores.log_softmax(1) + scores.log_softmax(0)).sum() / 4  # each of the two with probability one half
    assert contrastive_loss(model, batch, "cpu").item() == pytest.approx(want.item(), rel=1e-4)


def test_a_batch_holds_pairs_of_one_subject():
    pictures = openmoji("train", "combination")
    indices = Siblings(pictures).batch(step=3, size=64)
    assert indices == Siblings(pictures).batch(step=3, size=64)
    assert indices != Siblings(pictures).batch(step=4, size=64)
    for first, second in zip(indices[:32], indices[32:], strict=True):
        assert pictures[first].base == pictures[second].base
    assert any(first != second for first, second in zip(indices[:32], indices[32:], strict=True))


def test_roughened_pictures_move_by_two_pixels_at_most():
    torch.manual_seed(0)
    black = torch.ones(64, 3, 32, 32)
    black[:, :, 10:20, 10:20] = -1
    moved = roughened(black)
    assert moved.shape == black.shape
    assert moved.abs().max() <= 1
    assert (moved[:, :, :6] > 0).all()
    assert (moved[:, :, 13:17, 13:17] < 0).all()
    assert (moved != black).flatten(1).any(1).float().mean() > 0.8


def test_candidates_are_of_the_group_and_drawn_otherwise():
    for picture in openmoji("test", "combination")[::60]:
        chosen = candidates(picture)
        assert chosen == candidates(picture)
        assert chosen[0] == picture
        assert len({each.code for each in chosen}) == len(chosen) == 100
        assert {each.group for each in chosen} == {picture.group}
        assert all(each.drawing != picture.drawing for each in chosen[1:])


def test_ranks_count_names_that_fit_at_least_as_well(model):
    checker = Checker(model)
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    names = ["red heart", "owl", "apple", "dog", "bicycle"]
    scores = checker.scores(image, [names])[0].tolist()
    for name, score in zip(names, scores, strict=True):
        others = [other for other in names if other != name]
        rank = checker.ranks(image, [[name, *others]]).item()
        assert rank == 1 + sum(other > score for other in scores)
    assert checker.ranks(image, [["owl", "owl", "owl"]]).item() == 3  # a tie does not count as right


@pytest.mark.parametrize("language", ["en", "zh"])
def test_names_in_five_tones_are_those_of_openmoji(language):
    known = {prompt(picture, language) for picture in openmoji()}
    toned = [p for p in openmoji() if len(p.tones) == 1 and len({q.tones for q in openmoji() if q.base == p.base}) > 5]
    for picture in toned[::40]:
        names = in_tones(picture, language)
        assert names[0] == prompt(picture, language)
        assert len(set(names)) == 5
        assert len(known & set(names)) >= 4


def test_skin_tones_of_real_pictures_are_seen():
    toned = [picture for picture in openmoji("test", "combination") if len(picture.tones) == 1]
    seen = skin_tones(real_pictures(toned))
    assert sum(a == p.tones[0] for a, p in zip(seen, toned, strict=True)) / len(toned) > 0.95
    assert set(SKIN) == set(TONES.values())
    assert len(skin_tones(torch.ones(2, 3, 32, 32))) == 2  # nothing is near: still an answer


def test_hearts_are_told_apart_by_their_colour():
    hearts = real_pictures([picture for picture in openmoji() if picture.base == "heart"])
    assert nearest_colours(hearts, hearts).tolist() == list(range(len(hearts)))


def test_the_nearest_picture_is_itself():
    pictures = real_pictures(openmoji()[:20])
    distances, numbers = nearest_pictures(pictures[5:9], pictures)
    assert numbers.tolist() == [5, 6, 7, 8]
    assert distances.max() < 0.1


def test_the_nearest_name_shares_rare_words_and_is_another_picture():
    pictures = openmoji("train", "combination")
    names = Names(pictures)
    [heart] = [picture for picture in openmoji() if picture.english == "green heart"]
    assert {"green", "heart"} & set(pictures[names.nearest(heart)].english.split())
    [teacher] = [picture for picture in openmoji() if picture.english == "teacher: medium skin tone"]
    assert "teacher" in pictures[names.nearest(teacher)].english  # not just anybody of that tone
    assert pictures[names.nearest(pictures[0])].code != pictures[0].code


def test_words_are_whole_and_chinese_is_cut_in_characters():
    tokenizer = word_tokenizer(["woman cook with dark skin tone", "较深肤色的女厨师"])
    assert tokenizer.convert_ids_to_tokens(tokenizer("Dark woman").input_ids) == [
        "<|startoftext|>", "dark", "woman", "<|endoftext|>",
    ]  # fmt: skip
    assert len(tokenizer("女厨师").input_ids) == 5
    assert tokenizer("").input_ids == [tokenizer.bos_token_id, tokenizer.eos_token_id]
    padded = tokenizer(["dark", "dark skin tone"], padding=True).input_ids
    assert padded[0][0] == tokenizer.pad_token_id == 0
    assert tokenizer.unk_token_id in tokenizer("zebra").input_ids
