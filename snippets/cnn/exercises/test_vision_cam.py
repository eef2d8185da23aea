import pytest
import torch


def drawn():
    torch.manual_seed(0)
    return torch.rand(6, 3, 5), torch.randn(4, 6), torch.randn(4)


def test_a_map_of_places(answer):
    features, weight, bias = drawn()
    shape = tuple(answer.class_map(features, weight, bias, 1).shape)
    assert shape == (3, 5), pytest.say(
        f"the map has shape {shape}, the places are 3 × 5: sum over maps alone.",
        f"图的形状是 {shape}，位置是 3 × 5：只对各张特征图求和。",
    )


def test_different_classes_have_different_maps(answer):
    features, weight, bias = drawn()
    one, other = (answer.class_map(features, weight, bias, c) for c in (0, 1))
    assert not torch.allclose(one, other), pytest.say(
        "classes 0 and 1 get the same map: weight each map by the class's weights.",
        "类 0 和类 1 得到同一张图：要用该类的权重给各张特征图加权。",
    )


def test_places_sum_to_the_score(answer):
    features, weight, bias = drawn()
    for label in range(4):
        got = float(answer.class_map(features, weight, bias, label).sum())
        score = float(features.mean((1, 2)) @ weight[label])
        assert abs(got - score) < 1e-4, pytest.say(
            f"class {label}: the map sums to {got:.3f}, the score without its bias is "
            f"{score:.3f}. A mean divides by the number of places; the bias belongs to "
            "none.",
            f"类 {label}：图的总和是 {got:.3f}，去掉偏置的得分是 {score:.3f}。"
            "平均要除以位置的个数；偏置不属于任何位置。",
        )


def test_no_place_gets_anothers_share(answer):
    features, weight, bias = drawn()
    features[:, 1, 2] = 0
    got = float(answer.class_map(features, weight, bias, 0)[1, 2])
    assert abs(got) < 1e-6, pytest.say(
        f"a place without features gets {got:.3f}; it should get 0.",
        f"没有特征的位置分到了 {got:.3f}；应当是 0。",
    )
