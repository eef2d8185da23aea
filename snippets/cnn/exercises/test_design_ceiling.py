import pytest


def read(dilations):
    places = {0}
    for dilation in dilations:
        places = {at + step for at in places for step in (-dilation, 0, dilation)}
    return sorted(at for at in places if at >= 0)


def fewest(p, wanted):
    layers = 0  # with kernels of 3 at most 3 ** layers places are read
    while 1 - (1 - p) ** ((3**layers + 1) // 2) / 2 < wanted:
        layers += 1
    return layers


@pytest.mark.parametrize(("p", "wanted"), [(0.1, 0.9), (0.05, 0.95), (0.3, 0.99)])
def test_far_enough_without_holes_and_in_few_layers(answer, p, wanted):
    given = answer.dilations(p, wanted)
    seen = read(given)
    assert seen == list(range(len(seen))), pytest.say(
        f"Dilations {given} leave holes: of the distances they read {seen[:6]} …",
        f"扩张率 {given} 留下了洞：读到的距离是 {seen[:6]} ……",
    )
    share = 1 - (1 - p) ** len(seen) / 2
    assert share >= wanted, pytest.say(
        f"Dilations {given} reach a ceiling of {share:.3f}; wanted: {wanted}.",
        f"扩张率 {given} 的上限是 {share:.3f}；要求 {wanted}。",
    )
    layers = fewest(p, wanted)
    assert len(given) == layers, pytest.say(
        f"{len(given)} layers where {layers} suffice: a layer may be dilated by as "
        "much as all layers before it span, both sides and the middle.",
        f"用了 {len(given)} 层，其实 {layers} 层就够："
        "一层的扩张率可以与前面各层合起来的跨度一样大（两边加中间）。",
    )


def test_nothing_to_see(answer):
    assert answer.dilations(0.5, 0.7) == [], pytest.say(
        "With p = 0.5 the place alone gives 0.75: no layer is needed for 0.7.",
        "p = 0.5 时，单看这个位置自己就有 0.75：要 0.7，一层也不用。",
    )
