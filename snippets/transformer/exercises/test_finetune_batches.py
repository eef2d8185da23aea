import random

import pytest

CHANCE = random.Random(0)
LENGTHS = [CHANCE.randint(4, 12) + 40 * (CHANCE.random() < 0.1) for _ in range(200)]


def padded(made):
    return sum(len(part) * max(LENGTHS[place] for place in part) for part in made)


def test_each_text_comes_once(answer):
    made = answer.batches(LENGTHS, 16, seed=0)
    places = sorted(place for part in made for place in part)
    assert places == list(range(200)), pytest.say(
        f"{200 - len(set(places))} of 200 texts are missing.",
        f"200 条文本缺了 {200 - len(set(places))} 条。",
    )
    assert sorted(map(len, made)) == [8] + [16] * 12, pytest.say(
        f"Batches of 16, and one of what is left; yours: {sorted(map(len, made))}.",
        f"每批 16 条，剩下的编成一批；你的是 {sorted(map(len, made))}。",
    )


def test_little_is_padded(answer):
    found = padded(answer.batches(LENGTHS, 16, seed=0)) / sum(LENGTHS)
    assert found < 1.25, pytest.say(
        f"With padding you compute {found:.2f} times the tokens; sorted by length, "
        "neighbours are alike.",
        f"算上填充，要计算的词元是原来的 {found:.2f} 倍；"
        "按长度排好序，相邻的就差不多长。",
    )


def test_the_batches_are_in_random_order(answer):
    made = answer.batches(LENGTHS, 16, seed=0)
    longest = [max(LENGTHS[place] for place in part) for part in made]
    assert longest not in (sorted(longest), sorted(longest, reverse=True)), pytest.say(
        "Training would go from short to long: shuffle the batches.",
        "这样训练会从短到长：要把各批的次序打乱。",
    )
    assert made != answer.batches(LENGTHS, 16, seed=1), pytest.say(
        "Another seed must give another order.",
        "换一个种子，次序也应当不同。",
    )
