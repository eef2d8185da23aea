import pytest


def seen(dilations):
    places = {0}
    for d in dilations:
        places = {place + step for place in places for step in (-d, 0, d)}
    return places


def test_nothing_in_between_is_left_out(answer):
    for places in (2, 3, 9, 10, 31, 100):
        found = answer.dilations(places)
        reached = seen(found)
        assert len(reached) == max(reached) - min(reached) + 1, pytest.say(
            f"dilations {found} see {len(reached)} places spread over "
            f"{max(reached) - min(reached) + 1}: there are holes.",
            f"扩张率 {found} 在 {max(reached) - min(reached) + 1} 格的范围里只看到 "
            f"{len(reached)} 格：中间有洞。",
        )


def test_enough_is_seen(answer):
    for places in (1, 2, 5, 9, 10, 64, 1000):
        found = answer.dilations(places)
        assert len(seen(found)) >= places, pytest.say(
            f"{found} see {len(seen(found))} places, {places} were asked for.",
            f"{found} 看到 {len(seen(found))} 格，要求的是 {places} 格。",
        )


def test_no_layer_too_many(answer):
    for places in (1, 3, 4, 9, 10, 27, 28, 729):
        found = answer.dilations(places)
        fewest = next(layers for layers in range(99) if 3**layers >= places)
        assert len(found) == fewest, pytest.say(
            f"{len(found)} layers for {places} places; {fewest} are enough: "
            "the three copies of what was seen so far need only touch each other.",
            f"看 {places} 格用了 {len(found)} 层，{fewest} 层就够："
            "只要已看到的范围的三份拷贝首尾相接。",
        )
