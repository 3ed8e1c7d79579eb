"""What is performed and what a coder would call it: P(label), P(AUs | label), never a bijection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np

from deft_llm.errors import UsageError
from deft_llm.facs.emotions import FINE, coarse_of
from deft_llm.facs.units import entry
from deft_llm.records import COARSE, ActionUnit, Coarse
from deft_llm.synth.core import prior_tables as tables
from deft_llm.synth.core.unit_map import SYNTH_AUS


@dataclass(frozen=True)
class ActiveAU:
    """One AU as performed. ``left`` and ``right`` (upper and lower for lip parts; ``left`` alone for whole
    AUs) are strengths relative to the expression's main motion; ``faint`` ones coders leave out."""

    number: int
    left: float
    right: float
    faint: bool = False

    def record(self) -> ActionUnit:
        """The AU as a coder writes it: side and lip part, no intensity."""
        scoring = entry(self.number).scoring
        if scoring == "parts":
            low, high = min(self.left, self.right), max(self.left, self.right)
            part = None if low > 0.35 * high else ("upper" if self.left > self.right else "lower")
            return ActionUnit(number=self.number, part=part)
        if scoring != "sides":
            return ActionUnit(number=self.number)
        low, high = min(self.left, self.right), max(self.left, self.right)
        if low < 0.2 * high:
            return ActionUnit(number=self.number, side="left" if self.left > self.right else "right")
        return ActionUnit(number=self.number, side="asymmetric" if low < 0.6 * high else "both")


@dataclass(frozen=True)
class Expression:
    """AUs performed and the label that a coder of the convention gives; ``coarse`` None for others."""

    aus: tuple[ActiveAU, ...]
    fine: str
    coarse: Coarse | None

    @property
    def marked(self) -> tuple[ActiveAU, ...]:
        """The AUs that are strong enough to be coded."""
        return tuple(au for au in self.aus if not au.faint)


@dataclass(frozen=True)
class Prior:
    """A named joint distribution of labels and AU combinations.

    ``sources`` says what it was taken from: only what was trained with no corpus in ``sources`` may be
    called zero-shot. ``mixture`` is P(negative), P(positive), P(surprise), P(others).
    """

    name: str
    sources: tuple[str, ...]
    combinations: dict[str, dict[tuple[int, ...], float]]
    shares: dict[str, float]
    mixture: tuple[float, float, float, float] = (0.46, 0.24, 0.24, 0.06)

    @cached_property
    def label_probability(self) -> dict[str, float]:
        """P(fine label); sums to 1."""
        found: dict[str, float] = {}
        for coarse, weight in zip((*COARSE, None), self.mixture, strict=True):
            group = {fine: self.shares[fine] for fine in self.combinations if coarse_of(fine) == coarse}
            found |= {fine: weight * share / sum(group.values()) for fine, share in group.items()}
        total = sum(found.values())
        return {fine: p / total for fine, p in found.items()}

    @cached_property
    def joint(self) -> dict[tuple[int, ...], dict[str, float]]:
        """P(combination, fine label), both named; combinations are sorted AU numbers."""
        table: dict[tuple[int, ...], dict[str, float]] = {}
        for fine, p_fine in self.label_probability.items():
            row = self.combinations[fine]
            for aus, weight in row.items():
                table.setdefault(aus, {})[fine] = p_fine * weight / sum(row.values())
        return table

    def posterior(self, aus: tuple[int, ...]) -> dict[str, float]:
        """P(fine label | combination); empty for a combination that the prior never makes."""
        row = self.joint.get(tuple(sorted(aus)), {})
        total = sum(row.values())
        return {fine: p / total for fine, p in row.items()}

    def sample(self, rng: np.random.Generator, coarse: str | None = None) -> Expression:
        """Draw an expression; ``coarse`` fixes the class ("negative", "positive", "surprise", "others")."""
        labels = self.label_probability
        if coarse is not None:
            labels = {f: p for f, p in labels.items() if (coarse_of(f) or "others") == coarse}
            if not labels:
                raise UsageError(f"class {coarse!r}: choose negative, positive, surprise or others.")
        fine = _draw(rng, labels)
        aus = self.draw_aus(rng, fine)
        return Expression(_perform(rng, aus, fine), fine, coarse_of(fine))

    def draw_aus(self, rng: np.random.Generator, fine: str) -> tuple[int, ...]:
        """Draw the AUs of one expression of a fine label that the prior holds."""
        aus: tuple[int, ...] = _draw(rng, self.combinations[fine])
        return aus

    def bayes_uf1(self, classes: tuple[str, ...] = COARSE) -> float:
        """UF1 of the best decision that knows the AU combination exactly, on ``classes`` (coarse or fine).

        Macro F1 is not decided point by point, so class weights are searched on a grid; the result is the
        best found (sides are not used, so a reader of sides may do slightly better).
        """
        rows = np.array([[self._mass(row, c) for c in classes] for row in self.joint.values()])
        rows = rows[rows.sum(1) > 0]
        best = 0.0
        grid = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
        searched = list(product(grid, repeat=len(classes))) if len(classes) <= 3 else [(1.0,) * len(classes)]
        if len(classes) > 3:
            searched.append(tuple(1 / max(p, 1e-9) for p in rows.sum(0)))
        for weights in searched:
            chosen = (rows * np.array(weights)).argmax(1)
            best = max(best, _uf1(rows, chosen))
        return best

    @staticmethod
    def _mass(row: dict[str, float], label: str) -> float:
        return sum(p for fine, p in row.items() if label in (fine, coarse_of(fine)))

    def describe(self) -> dict[str, Any]:
        """What a dataset card says of the prior."""
        return {
            "prior": self.name,
            "sources": list(self.sources),
            "labels": {fine: round(p, 4) for fine, p in self.label_probability.items()},
            "bayes_uf1_coarse": round(self.bayes_uf1(), 4),
            "bayes_uf1_fine": round(self.bayes_uf1(tuple(f for f in FINE if f in self.shares)), 4),
        }


@lru_cache(maxsize=8)
def load_prior(name: str, mixture: tuple[float, float, float, float] | None = None) -> Prior:
    """The prior "facs" or "corpora". Raises: UsageError for another name."""
    known: dict[str, tuple[tuple[str, ...], Any, Any]] = {
        "facs": (("FACS Investigator's Guide / EMFACS",), tables.FACS, tables.FACS_SHARES),
        "corpora": (
            ("CASME II statistics", "SAMM statistics", "CAS(ME)^3 statistics"),
            tables.CORPORA,
            tables.CORPORA_SHARES,
        ),
    }
    if name not in known:
        raise UsageError(f"--prior {name}: choose facs or corpora.")
    sources, raw, shares = known[name]
    combinations = {
        fine: {tuple(int(n) for n in key.split("+")): float(weight) for key, weight in rows.items()}
        for fine, rows in raw.items()
    }
    unknown = {au for rows in combinations.values() for aus in rows for au in aus} - set(SYNTH_AUS)
    assert not unknown, f"prior {name} names AUs that synthesis cannot make: {unknown}"
    options = {"mixture": mixture} if mixture else {}
    return Prior(name, sources, combinations, {k: float(v) for k, v in shares.items()}, **options)


def _perform(rng: np.random.Generator, aus: tuple[int, ...], fine: str) -> tuple[ActiveAU, ...]:
    """Strengths, sides and faint companions of a combination."""
    main = rng.integers(len(aus))
    found = []
    for number, au in enumerate(aus):
        strength = 1.0 if number == main else float(rng.uniform(0.35, 1.1))
        found.append(_one_side(rng, au, strength, fine, faint=False))
    for au in aus:
        for other, chance in tables.COMPANIONS.get(au, {}).items():
            if rng.random() < chance and all(other != active.number for active in found):
                found.append(_one_side(rng, other, float(rng.uniform(0.08, 0.35)), fine, faint=True))
    return tuple(found)


def _one_side(rng: np.random.Generator, au: int, strength: float, fine: str, *, faint: bool) -> ActiveAU:
    scoring = entry(au).scoring
    left = right = strength
    if scoring == "sides":
        chance = tables.UNILATERAL.get(au, 0.08)
        if fine == "contempt" and au in (12, 14, 10):
            chance = tables.UNILATERAL_CONTEMPT
        if rng.random() < chance:
            weak = strength * float(rng.uniform(0, 0.18))
        else:
            weak = strength * min(max(rng.beta(6, 1.6), 0.25), 1.0)
        left, right = (strength, weak) if rng.random() < 0.5 else (weak, strength)
    elif scoring == "parts" and rng.random() < 0.3:
        left, right = (strength, 0.15 * strength) if rng.random() < 0.5 else (0.15 * strength, strength)
    return ActiveAU(au, left, right, faint)


def _draw(rng: np.random.Generator, weights: dict[Any, float]) -> Any:
    rest = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        rest -= weight
        if rest < 0:
            return key
    return key  # rounding


def _uf1(rows: np.ndarray, chosen: np.ndarray) -> float:
    """Unweighted mean of class F1 when row i (masses by class) is called ``chosen[i]``."""
    scores = []
    for c in range(rows.shape[1]):
        true_positive = rows[chosen == c, c].sum()
        called = rows[chosen == c].sum()
        scores.append(2 * true_positive / max(called + rows[:, c].sum(), 1e-12))
    return float(np.mean(scores))
