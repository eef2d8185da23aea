"""Write SmolLM2's chat template as a function: what text do these messages become?

把 SmolLM2 的对话模板写成一个函数：这些消息会变成怎样的文本？
"""

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def render(messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
    # messages: each with a "role" (system, user or assistant) and its "content"
    # TODO: without a system message SYSTEM goes first; the generation prompt
    #       opens the assistant's turn
    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>" for m in messages]
    return "\n".join(turns)
