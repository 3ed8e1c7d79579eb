"""What the experts believe of a clip, and what the tokens of each by itself tell, in the language model's own
words.

The likeliest Action Units stand in the prompt by their names, as real word tokens, each followed by two
soft words: p * yes + (1 - p) * no, and left and right by their shares. A pretrained model copies names and
looks them up as it does in any text; one mean vector per Action Unit it reads much later. Class beliefs are
mean word vectors, sum_c p(c) * word(c), and from the second version of the prompt on the likeliest classes by
their names with a soft verdict as well: of the mean of ten labels a model of this size reads too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deft_llm.answer import COARSE
from deft_llm.facs.directions import direction_word
from deft_llm.facs.emotions import FINE
from deft_llm.facs.regions import FOLDS, REGIONS
from deft_llm.facs.units import name
from deft_llm.facs.words import way
from deft_llm.model.heads import Calibration, au_probabilities, coarse_chances
from deft_llm.model.language import EXPERTS
from deft_llm.model.readout import PHASES, Readout
from deft_llm.model.units import EXPERT_AUS
from deft_llm.motion.table import GOES_BACK, MOVING_Z, STAYS, taken_back

BELIEFS = "beliefs"
"""Their name beside those of the experts, wherever parts of the prompt are chosen."""
NAMED_AUS = 6
"""So many Action Units are named at most, the likeliest."""
ALONE_WORDS = {"structure": (" before:", 4), "texture": (" skin:", 3), "motion": (" motion:", NAMED_AUS)}
"""Of each expert: the words before the Action Units that its tokens tell, and how many it names at most."""
NAMED_CLASSES = {"coarse": 2, "fine": 3, "phase": 2}
"""So many classes, and phases of the movement, are named at most, the likeliest first."""
LEAST_NAMED = 0.05
"""Probability below which a unit, class or fold is not named: its absence says as much in fewer words."""
NAMED_FOLDS = 4
"""So many skin folds are named at most, the likeliest."""
NAMED_REGIONS = 8
"""So many regions are named at most as moving."""
VERDICTS = (" yes", " no")
SIDE_WORDS = (" left", " right")


@dataclass
class Beliefs:
    """Of N clips: au (N, A, 2) probabilities left and right (order of ``units.EXPERT_AUS``), coarse (N, 3)
    and fine (N, F) probabilities, after the heads' calibration; phase (N, 3) probabilities of
    ``readout.PHASES``, NaN where the structure expert saw nothing, None without a head for it."""

    au: Tensor
    coarse: Tensor
    fine: Tensor
    phase: Tensor | None = None

    @classmethod
    def of(cls, readout: Readout, calibration: Calibration | None = None) -> Beliefs:
        """Those of a readout; of one that a refit on a fold has adapted, the adapted ones."""
        plain = readout.detached()
        found = (au_probabilities(plain, calibration), coarse_chances(plain, calibration))
        au, coarse = (torch.from_numpy(values).float().to(readout.au.device) for values in found)
        phase = None
        if readout.phase is not None:
            held = readout.saw[:, EXPERTS.index("structure"), None]
            phase = torch.where(held, readout.phase.detach().float().softmax(-1), torch.nan)
        return cls(au, coarse, readout.fine.detach().float().softmax(-1), phase)

    def __len__(self) -> int:
        return len(self.au)


class UnitWords(nn.Module):
    """Probabilities of Action Units as embeddings for a language model with its ``tokenizer`` and words
    (``table`` (V, D)), behind the words ``lead``; up to ``most`` units.

    The vectors of verdicts and sides begin as the words' own and are trained on.
    """

    def __init__(self, tokenizer: Any, table: Tensor, lead: str = "", most: int = NAMED_AUS) -> None:
        super().__init__()
        self.most = most
        self.lead, self.comma = _ids(tokenizer, lead), _ids(tokenizer, ",")
        self.names = [_ids(tokenizer, f" AU{number} {name(number)}") for number in EXPERT_AUS]
        self.verdicts = nn.Parameter(_vectors(tokenizer, table, VERDICTS))
        self.sides = nn.Parameter(_vectors(tokenizer, table, SIDE_WORDS))

    def forward(self, au: Tensor, words: Any) -> list[Tensor]:
        """(L, D) embeddings of each clip's units, au (N, A, 2) probabilities left and right; ``words`` embeds
        a list of token ids."""
        rows = []
        for chances in au:
            chance = chances.amax(-1)
            parts = [words(self.lead).to(self.verdicts)] if self.lead else []
            for index in sorted(likeliest(chance, self.most)):
                side = (chances[index] / chances[index].sum()) @ self.sides
                told = words(self.names[index] + self.comma)
                parts += with_verdict(told, chance[index], self.verdicts, side)
            rows.append(torch.cat(parts))
        return rows


def likeliest(chance: Tensor, most: int) -> list[int]:
    """Places of those that are named, chance (K,), the likeliest first; one at least."""
    order = chance.argsort(descending=True)[:most].tolist()
    return order[:1] + [index for index in order[1:] if chance[index] >= LEAST_NAMED]


def with_verdict(told: Tensor, chance: Tensor, verdicts: Tensor, *more: Tensor) -> list[Tensor]:
    """Parts of a row: a name, p * yes + (1 - p) * no of its ``chance`` p and ``verdicts`` (2, D), ``more``
    soft words (D,), and the comma behind them; ``told`` (L, D): the name and its comma."""
    verdict = torch.stack([chance, 1 - chance]) @ verdicts
    told = told.to(verdict)
    return [told[:-1], verdict[None], *(word[None] for word in more), told[-1:]]


class FoldWords(nn.Module):
    """Probabilities that skin folds deepen as embeddings for a language model with its ``tokenizer`` and
    words (``table`` (V, D)): the likeliest by their names, each with a soft verdict, whose vectors begin as
    the words' own and are trained on."""

    def __init__(self, tokenizer: Any, table: Tensor) -> None:
        super().__init__()
        self.lead, self.comma = _ids(tokenizer, " folds:"), _ids(tokenizer, ",")
        self.names = [_ids(tokenizer, f" {words}") for words in FOLDS.values()]
        self.verdicts = nn.Parameter(_vectors(tokenizer, table, VERDICTS))

    def forward(self, folds: Tensor, words: Any) -> list[Tensor]:
        """(L, D) embeddings of each clip, folds (N, F) probabilities in the order of FOLDS; ``words`` embeds
        a list of token ids."""
        rows = []
        for chance in folds:
            parts = [words(self.lead).to(self.verdicts)]
            for index in sorted(likeliest(chance, NAMED_FOLDS)):
                parts += with_verdict(words(self.names[index] + self.comma), chance[index], self.verdicts)
            rows.append(torch.cat(parts))
        return rows


class BeliefWords(UnitWords):
    """Beliefs as embeddings: units as ``UnitWords`` names them, and classes, whose vectors begin as words'
    own and are trained on; ``named_classes``: the likeliest of them by their names too."""

    def __init__(self, tokenizer: Any, table: Tensor, named_classes: bool = True) -> None:
        super().__init__(tokenizer, table)
        self.named_classes = named_classes
        self.labels = {
            "coarse": [_ids(tokenizer, f" {text}") for text in COARSE],
            "fine": [_ids(tokenizer, f" {text}") for text in FINE],
            "phase": [_ids(tokenizer, f" {text}") for text in PHASES],
        }
        self.coarse = nn.Parameter(_vectors(tokenizer, table, [f" {text}" for text in COARSE]))
        self.fine = nn.Parameter(_vectors(tokenizer, table, [f" {text}" for text in FINE]))

    def told(self, beliefs: Beliefs, words: Any) -> list[Tensor]:
        """(L, D) embeddings of each clip's beliefs; ``words`` embeds a list of token ids."""
        classes = torch.stack([beliefs.coarse @ self.coarse, beliefs.fine @ self.fine], 1)
        rows = [torch.cat(parts) for parts in zip(self(beliefs.au, words), classes, strict=True)]
        if not self.named_classes:
            return rows
        return [torch.cat([row, self._named(beliefs, clip, words)]) for clip, row in enumerate(rows)]

    def _named(self, beliefs: Beliefs, clip: int, words: Any) -> Tensor:
        """(L, D): the likeliest classes and, where they are known, phases of a clip, each with its soft
        verdict."""
        parts = []
        for kind, most in NAMED_CLASSES.items():
            chances = getattr(beliefs, kind)
            if chances is None or not bool(chances[clip].isfinite().all()):
                continue
            chance = chances[clip]
            for index in likeliest(chance, most):
                told = words(self.labels[kind][index] + self.comma)
                parts += with_verdict(told, chance[index], self.verdicts)
        return torch.cat(parts)


class RegionWords:
    """Measured motion of the face's regions as token ids of a language model's ``tokenizer``: which move, in
    which direction, which of them most, and what they do after the apex. It has nothing to learn: these are
    words alone."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def told(self, regions: Tensor) -> list[list[int]]:
        """Token ids of each clip, regions (N, 2, R, 3) dx, dy, z: the regions that stand out most by name, in
        the order of the table."""
        return [self._of(table) for table in regions.float().cpu().numpy()]

    def _of(self, table: np.ndarray) -> list[int]:
        """Of one clip (2, R, 3)."""
        height = np.nan_to_num(table[0, :, 2])
        named = [row for row in np.argsort(-height)[:NAMED_REGIONS] if height[row] >= MOVING_Z]
        most = max(named, key=lambda row: np.hypot(*table[0, row, :2]), default=None)
        ids = list(self._words(" moving:"))
        for row in sorted(map(int, named)):
            region, (dx, dy, _) = REGIONS[row], table[0, row]
            told = way(region.name, direction_word(float(dx), float(dy), region.side))
            first = " most" if row == most else ""
            ids += self._words(f" {region.key} {told}{_afterwards(table[:, row])}{first},")
        return ids if named else ids + self._words(" nothing,")

    def _words(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = _ids(self.tokenizer, text)
        return self._known[text]


def _afterwards(phases: np.ndarray) -> str:
    """What a region (2, 3) does from apex to offset: " back", " partly back", " stays", or " on" in the same
    direction; "" where it is not known."""
    share = taken_back(phases[0, :2], phases[1, :2])
    if not np.isfinite(share):
        return ""
    if share > STAYS:
        return " back" if share >= GOES_BACK else " partly back"
    return " stays" if share > -STAYS else " on"


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return found


def _vectors(tokenizer: Any, table: Tensor, texts: Sequence[str]) -> Tensor:
    """(K, D) mean word vectors of texts."""
    return torch.stack([table[torch.tensor(_ids(tokenizer, t))].detach().float().mean(0) for t in texts])
