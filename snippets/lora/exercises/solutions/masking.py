from torch import Tensor


def labels_of(
    input_ids: Tensor, prompt_lengths: list[int], pad_token_id: int
) -> Tensor:
    labels = input_ids.clone()
    for row, prompt_length in enumerate(prompt_lengths):
        labels[row, :prompt_length] = -100
        end = prompt_length
        while end < input_ids.shape[1] and input_ids[row, end] != pad_token_id:
            end += 1
        labels[row, end + 1 :] = -100  # the end token itself stays
    return labels
