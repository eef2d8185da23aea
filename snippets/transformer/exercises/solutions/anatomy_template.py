SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def render(messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": SYSTEM}, *messages]
    text = "".join(
        f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages
    )
    return text + "<|im_start|>assistant\n" * add_generation_prompt
