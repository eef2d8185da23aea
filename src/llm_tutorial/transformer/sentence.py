"""An encoder of token vectors as an encoder of texts."""

from torch import Tensor, nn
from torch.nn import functional as F


class SentenceEncoder(nn.Module):
    """An encoder with its pooling: the mean of the states of real tokens, normalised to length one.

    Args:
        model: An encoder of Transformers, such as MiniLM (Reimers and Gurevych, 2019, arXiv:1908.10084).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings of texts.

        Args:
            input_ids: Token ids, (batch, length).
            attention_mask: 1 for tokens of the text, 0 for padding, (batch, length).

        Returns:
            Embeddings of length one, (batch, width).
        """
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        real = attention_mask[..., None].to(states.dtype)  # (batch, length, 1)
        return F.normalize((states * real).sum(1) / real.sum(1), dim=-1)
