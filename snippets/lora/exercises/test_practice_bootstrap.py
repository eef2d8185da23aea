import numpy as np
import pytest
from scipy.stats import binom, bootstrap


def systems(items: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two systems that find the same items hard."""
    generator = np.random.default_rng(7)
    theirs = generator.random(items)
    return np.clip(theirs + generator.normal(0.01, 0.1, items), 0, 1), theirs


def run(answer, *scores: np.ndarray, **options: int) -> tuple[float, ...]:
    mean, (low, high), share = answer.paired_bootstrap(*scores, **options)
    return float(mean), float(low), float(high), float(share)


def interval_of_scipy(
    ours: np.ndarray, theirs: np.ndarray, paired: bool
) -> tuple[float, float]:
    def difference(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
        return one.mean(axis) - other.mean(axis)

    options = {"method": "percentile", "n_resamples": 40_000, "batch": 1000, "rng": 1}
    found = bootstrap((ours, theirs), difference, paired=paired, **options)
    return tuple(found.confidence_interval)


def test_the_difference_is_ours_less_theirs(answer):
    ours, theirs = systems()
    mean = run(answer, ours, theirs, samples=100)[0]
    assert mean == pytest.approx(ours.mean() - theirs.mean()), pytest.say(
        f"The mean of ours less that of theirs is {ours.mean() - theirs.mean():.4f}; "
        f"yours is {mean:.4f}.",
        f"ours 的平均减去 theirs 的平均是 {ours.mean() - theirs.mean():.4f}；"
        f"你的是 {mean:.4f}。",
    )


def test_the_interval_is_that_of_scipy(answer):
    ours, theirs = systems()
    _, low, high, _ = run(answer, ours, theirs)
    right = interval_of_scipy(ours, theirs, paired=True)
    unpaired = interval_of_scipy(ours, theirs, paired=False)
    width, right_width = high - low, right[1] - right[0]
    unpaired_width = unpaired[1] - unpaired[0]
    assert width != pytest.approx(unpaired_width, rel=0.1), pytest.say(
        f"The interval is {width:.3f} wide, as if the systems had been tested on "
        f"different items; paired, it is {right_width:.3f}. "
        "Draw the items once, and take the scores of both systems on them.",
        f"区间宽 {width:.3f}，就像两个系统考的不是同一份卷子；"
        f"成对地抽，宽 {right_width:.3f}。"
        "样本只抽一次，两个系统都取这些样本上的得分。",
    )
    assert width > 0.5 * right_width, pytest.say(
        f"The interval is {width:.4f} wide, not {right_width:.4f}: "
        "a resample has as many items as the test set, "
        "and its mean is taken over its items, not over the resamples.",
        f"区间宽 {width:.4f}，应为 {right_width:.4f}：每次重抽的样本数与测试集相同；"
        "平均要在一次重抽的样本里取，不要跨着各次重抽取。",
    )
    assert (low, high) == pytest.approx(right, abs=0.04 * right_width), pytest.say(
        f"The interval is ({low:.4f}, {high:.4f}), scipy's ({right[0]:.4f}, "
        f"{right[1]:.4f}): 95% of the resamples lie within, 2.5% beyond each end.",
        f"区间是 ({low:.4f}, {high:.4f})，scipy 的是 ({right[0]:.4f}, "
        f"{right[1]:.4f})：重抽的结果有 95% 在里面，两端之外各有 2.5%。",
    )


@pytest.mark.parametrize("wins", [12, 10, 7])
def test_the_share_is_that_of_the_binomial_distribution(answer, wins):
    # On each of 20 items one system is right and the other wrong: wins in a resample
    # follow a binomial distribution.
    items = 20
    ours = np.repeat([1.0, 0.0], [wins, items - wins])
    share = run(answer, ours, 1 - ours, samples=20_000)[-1]
    right = binom.cdf(items // 2, items, wins / items)
    without_ties = binom.cdf(items // 2 - 1, items, wins / items)
    assert share != pytest.approx(without_ties, abs=0.015), pytest.say(
        f"The share is {share:.3f}, which leaves out the resamples that end in a tie: "
        "there ours is not better, either.",
        f"比例是 {share:.3f}，漏了打成平手的那些次：平手也算「不更好」。",
    )
    assert share == pytest.approx(right, abs=0.015), pytest.say(
        f"Ours wins {wins} of {items} items: "
        f"in {right:.3f} of the resamples it is not better; yours says {share:.3f}.",
        f"{items} 个样本里 ours 赢了 {wins} 个：它不更好的重抽占 {right:.3f}；"
        f"你的是 {share:.3f}。",
    )


def test_the_seed_decides(answer):
    first, again, other = (
        run(answer, *systems(), samples=200, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again, pytest.say(
        "The same seed twice gives two results: draw with np.random.default_rng(seed).",
        "同一个种子，两次结果不同：请用 np.random.default_rng(seed) 来抽。",
    )
    assert first != other, pytest.say(
        "Another seed gives the same result: seed is not used.",
        "换了种子，结果不变：没有用到 seed。",
    )


def test_as_many_resamples_as_asked_for(answer):
    _, low, high, share = run(answer, *systems(), samples=1)
    assert low == high and share in (0, 1), pytest.say(
        "With one resample, both ends of the interval are its difference, and the "
        "share is 0 or 1.",
        "只重抽一次时，区间的两端都是那一次的差，比例是 0 或 1。",
    )
