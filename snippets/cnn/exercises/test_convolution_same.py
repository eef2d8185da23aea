import itertools
import math

import pytest
import torch
from torch.nn import functional as F


def test_dilation_makes_the_kernel_longer(answer):
    left, right = answer.same_padding(10, 3, 1, 2)
    assert left + right == 4, pytest.say(
        "Three entries with dilation 2 span 5 places, so 4 zeros are needed; you "
        f"gave {left + right}.",
        f"三个系数、扩张率 2，跨 5 格，应补 4 个零；你补了 {left + right} 个。",
    )


def test_the_output_is_as_long_as_asked_and_no_zero_is_wasted(answer):
    for n, k, s, d in itertools.product(range(5, 15), (1, 2, 3, 5), (1, 2, 3), (1, 2)):
        left, right = answer.same_padding(n, k, s, d)
        case = f"n={n}, kernel={k}, stride={s}, dilation={d}"
        assert min(left, right) >= 0, pytest.say(
            f"{case}: {left, right}: there is no negative padding.",
            f"{case}：{left, right}，填充不能是负数。",
        )
        x = F.pad(torch.zeros(1, 1, n), (left, right))
        places = -1
        if x.shape[-1] >= d * (k - 1) + 1:
            y = F.conv1d(x, torch.zeros(1, 1, k), stride=s, dilation=d)
            places = y.shape[-1]
        assert places == math.ceil(n / s), pytest.say(
            f"{case}: padding {left, right} gives {places} places, not "
            f"{math.ceil(n / s)}.",
            f"{case}：填充 {left, right} 得到 {places} 格，而不是 {math.ceil(n / s)} "
            "格。",
        )
        last = (places - 1) * s + d * (k - 1) + 1
        assert left + right == max(last - n, 0), pytest.say(
            f"{case}: {left + right} zeros, but {max(last - n, 0)} are enough.",
            f"{case}：补了 {left + right} 个零，其实 {max(last - n, 0)} 个就够。",
        )
        assert right - left in (0, 1), pytest.say(
            f"{case}: share the zeros between both ends, the odd one goes right; you "
            f"gave {left, right}.",
            f"{case}：零要分在两端，多出的一个放右边；你给出的是 {left, right}。",
        )
