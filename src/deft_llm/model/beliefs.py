"""What the experts believe of a clip, told to the language model in its own words.

The likeliest Action Units stand in the prompt by their names, as real word tokens, each followed by two
soft words: p * yes + (1 - p) * no, and left and right by their shares. A pretrained model copies names and
looks them up as it does in any text; one mean vector per Action Unit it reads much later. Class beliefs are
mean word vectors, sum_c p(c) * word(c).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deft_llm.answer import COARSE
from deft_llm.facs.emotions import FINE
from deft_llm.facs.units import name
from deft_llm.model.heads import Calibration, au_probabilities, coarse_chances
from deft_llm.model.units import EXPERT_AUS

if TYPE_CHECKING:
    from deft_llm.model.readout import Readout

BELIEFS = "beliefs"
"""Their name beside those of the experts, wherever parts of the prompt are chosen."""
NAMED_AUS = 6
"""So many Action Units are named at most, the likeliest."""
LEAST_NAMED = 0.05
"""Probability below which an Action Unit is not named: its absence says as much in fewer words."""
VERDICTS = (" yes", " no")
SIDE_WORDS = (" left", " right")


@dataclass
class Beliefs:
    """Of N clips: au (N, A, 2) probabilities left and right (order of ``units.EXPERT_AUS``), coarse (N, 3)
    and fine (N, F) probabilities, after the heads' calibration."""

    au: Tensor
    coarse: Tensor
    fine: Tensor

    @classmethod
    def of(cls, readout: Readout, calibration: Calibration | None = None) -> Beliefs:
        """Those of a readout; of one that a refit on a fold has adapted, the adapted ones."""
        plain = replace(readout, au=readout.au.detach().cpu(), coarse=readout.coarse.detach().cpu())
        found = (au_probabilities(plain, calibration), coarse_chances(plain, calibration))
        au, coarse = (torch.from_numpy(values).float().to(readout.au.device) for values in found)
        return cls(au, coarse, readout.fine.detach().float().softmax(-1))

    def __len__(self) -> int:
        return len(self.au)


class BeliefWords(nn.Module):
    """Beliefs as embeddings for a language model with its ``tokenizer`` and word vectors ``table`` (V, D).

    The vectors of verdicts, sides and classes begin as the words' own and are trained on.
    """

    def __init__(self, tokenizer: Any, table: Tensor) -> None:
        super().__init__()
        ids = lambda text: tokenizer(text, add_special_tokens=False).input_ids  # noqa: E731
        word = lambda text: table[torch.tensor(ids(text))].detach().float().mean(0)  # noqa: E731
        self.verdicts = nn.Parameter(torch.stack([word(text) for text in VERDICTS]))
        self.sides = nn.Parameter(torch.stack([word(text) for text in SIDE_WORDS]))
        self.coarse = nn.Parameter(torch.stack([word(f" {text}") for text in COARSE]))
        self.fine = nn.Parameter(torch.stack([word(f" {text}") for text in FINE]))
        self.names = [ids(f" AU{number} {name(number)}") for number in EXPERT_AUS]
        self.comma = ids(",")

    def forward(self, beliefs: Beliefs, words: Any) -> list[Tensor]:
        """(L, D) embeddings of each clip's beliefs; ``words`` embeds a list of token ids."""
        classes = torch.stack([beliefs.coarse @ self.coarse, beliefs.fine @ self.fine], 1)
        chances = beliefs.au.amax(-1)
        rows = []
        for number, chance in enumerate(chances):
            parts = []
            for index in self.named(chance):
                verdict = torch.stack([chance[index], 1 - chance[index]]) @ self.verdicts
                side = (beliefs.au[number, index] / beliefs.au[number, index].sum()) @ self.sides
                told = words(self.names[index] + self.comma).to(verdict)
                parts += [told[:-1], verdict[None], side[None], told[-1:]]
            rows.append(torch.cat([*parts, classes[number]]))
        return rows

    @staticmethod
    def named(chance: Tensor) -> list[int]:
        """Places of the Action Units that are named, chance (A,): the likeliest, in the order of their
        numbers; one at least."""
        order = chance.argsort(descending=True)[:NAMED_AUS].tolist()
        return sorted(order[:1] + [index for index in order[1:] if chance[index] >= LEAST_NAMED])
