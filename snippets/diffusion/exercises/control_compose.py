"""Two prompts can be joined without a sentence that joins them: each adds what it
changes [Liu et al. 2022],

    v = v(x, t, "") + sum over i of w_i (v(x, t, c_i) - v(x, t, "")).

Write `velocity`, which gives this for any number of prompts with one call of the
U-Net. A weight below 0 makes a negative prompt.

两条提示词不必写成一句话也能合起来：每条加上自己带来的改变 [Liu et al. 2022]，

    v = v(x, t, "") + 对 i 求和 w_i (v(x, t, c_i) - v(x, t, ""))。

请写出 `velocity`，用一次 U-Net 调用算出任意多条提示词的这个式子。权重小于 0 的就是
负面提示词。
"""

from llm_tutorial.captions import token_ids


def velocity(pipe, x, t, prompts, weights):
    # x: (1, channels, side, side); weights: a number for each prompt
    ids = token_ids(pipe.tokenizer, ["", *prompts])
    states = pipe.text_encoder(ids).last_hidden_state
    copies = x.expand(len(states), -1, -1, -1)
    guesses = pipe.unet(copies, t, states).sample
    return guesses.mean(0, keepdim=True)  # TODO
