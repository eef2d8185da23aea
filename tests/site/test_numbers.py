import pytest
from fixture import change

from tutorial_site.numbers import bound, problems, typed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The loss is 0.35 now.", "decimal"),
        ("损失是0.35。", "decimal"),
        ("It is right 99 % of the time.", "percentage"),
        ("正确率是 99.5％。", "percentage"),
        ("只训练百分之二的参数。", "percentage"),
        ("It trains 5 per cent.", "percentage"),
        ("It is 3x faster.", "factor"),
        ("It is 3× faster.", "factor"),
        ("快了 3 倍。", "factor"),
        ("快了2.5倍。", "factor"),
        ("It is 10 times as large.", "factor"),
        ("A 10-fold gain.", "factor"),
        ("| rank | 0.5 |", "decimal"),
        ('{* demo/wave.py#draw caption="99 % of the peak" *}', "percentage"),
    ],
)
def test_typed_number_is_found(text, kind):
    assert [found for _, found, _ in typed(text)] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "In 2021 there were 8 experts and 135,000 pairs.",
        "It trains {= lora/low_rank.py#trainable_percent:.1f =} % of the weights.",
        "Rank 8 {= lora/low_rank.py#share =} % and {= lora/low_rank.py#share =} 3.",
        "With $\\alpha = 0.5$ and `lr=2e-3 0.1`.",
        "```\n0.5\n```",
        "The paper reports 3 times less memory [@hu2021lora].",
        "论文里省了 3 倍显存 [@hu2021lora]。",
        "Python 3.11 and CC BY 4.0 and arXiv 2106.09685.",
        "A 64×64 picture, a 8 x 8 grid.",
        "See [here](https://example.org/1.5/index.html) and [there](a.md#v1.5).",
        "1. First.\n2. Second.",
        "<!-- 0.5 -->",
    ],
)
def test_bound_cited_or_argued_number_is_left_alone(text):
    assert list(typed(text)) == []


def test_citation_covers_its_own_sentence_only():
    text = "The paper says 3.17 [@ho2020]. We get 3.2.\n\n- first 1.5\n- second [@ho2020] 1.6\n"
    assert list(typed(text)) == [(1, "decimal", "3.2"), (3, "decimal", "1.5")]


def test_line_is_counted_past_code_and_constructs():
    assert list(typed("# A {#a}\n\n```\n1\n```\n\n{* a.py#b *}\n\nIt is 0.5.\n")) == [(9, "decimal", "0.5")]


def test_bound_value_of_a_cell_that_may_differ_states_a_tolerance(site):
    script, pages = "snippets/demo/wave.py", ("docs/en/demo/wave.md", "docs/zh/demo/wave.md")
    change(site, script, "# %% samples", '# %% samples differs="depends on the processor"')
    lines = [
        f"{page}:{(site / page).read_text(encoding='utf-8').split('#peak')[0].count(chr(10)) + 1}" for page in pages
    ]
    assert [problem.replace(f"{site}/", "") for problem in problems(site)] == [
        f"{line}: value 'peak' comes from cell 'samples' of {script}, which may differ, and states no tolerance"
        for line in lines
    ]
    change(site, script, '{peak:.3f}")', '{peak:.3f}")  # tolerance 5%')
    assert not list(problems(site))


def test_value_in_a_caption_is_bound_as_well():
    text = '\n{* a.py#b alt="{= a.py#c =} of {= a.py#d:.1f =}" *}\n\nIt is {= a.py#e =}.\n'
    assert list(bound(text)) == [(2, "a.py#c"), (2, "a.py#d:.1f"), (4, "a.py#e")]
