"""What we may say about a face, and what we never do: felt emotion, intent, deceit or diagnosis.

The limits stand in every report, page and result; ``find_claims`` is run by tests over all of their texts.
"""

from __future__ import annotations

import re

LIMITS: tuple[str, ...] = (
    "This describes how facial skin moved and which label coders of a named corpus would give to that "
    "movement. It does not show what a person feels, thinks or intends.",
    "It is not a lie detector. No facial movement shows that somebody lies.",
    "It is not a medical device and gives no diagnosis.",
    "It is not for hiring, policing, border control, teaching or any decision about a person.",
    "Inferring emotions of people at work or in education is prohibited in the European Union "
    "(AI Act, Article 5(1)(f)).",
    "Analyse only people who agreed to it.",
)

_PERSON = (
    r"(?:s?he|they|(?:this|the) "
    r"(?:person|subject|patient|speaker|man|woman|child|candidate|suspect|participant))"
)
_EMOTION = (
    r"(?:happy|happiness|sad|sadness|angry|anger|afraid|fear|fearful|disgusted|disgust|surprised|surprise|"
    r"contempt|contemptuous|anxious|anxiety|nervous|stressed|depressed|joy|joyful|ashamed|guilty)"
)
_ILLNESS = r"(?:depression|autism|parkinson\S*|schizophrenia|ptsd|disorder|anxiety)"
_CLAIMS: dict[str, tuple[str, ...]] = {
    "felt emotion": (
        rf"\b(?:feels?|felt|is feeling|was feeling|experienc(?:es|ed|ing))\s+(?:\w+\s+)?{_EMOTION}\b",
        rf"\b{_PERSON}\s+(?:is|was|seems|looks|appears|must be)\s+(?:\w+\s+)?{_EMOTION}\b",
        r"\b(?:true|real|genuine|hidden|concealed|suppressed|inner|underlying)\s+(?:emotion|feeling)s?\b",
        rf"\b(?:reveals?|betrays?|leaks?|proves?)\s+(?:\w+\s+){{0,3}}(?:{_EMOTION}|emotions?|feelings?)\b",
    ),
    "intent": (rf"\b{_PERSON}\s+(?:intends?|wants?|plans?|tries|is trying|means)\s+to\b",),
    "deceit": (
        r"\b(?:is|was|are|were|be|been|probably|likely)\s+"
        r"(?:lying|deceiving|deceptive|dishonest|untruthful)\b",
        r"\b(?:signs?|evidence|indicat\w+)\s+of\s+(?:deceit|deception|lying|dishonesty)\b",
    ),
    "diagnosis": (
        rf"\b{_PERSON}\s+(?:suffers? from|has|shows signs of)\s+(?:\w+\s+){{0,2}}{_ILLNESS}\b",
        rf"\b(?:symptoms?|diagnos(?:is|ed|tic)\s+(?:of|with|for))\s+(?:\w+\s+){{0,2}}{_ILLNESS}\b",
    ),
}
_PATTERNS = [(kind, re.compile(p, re.IGNORECASE)) for kind, patterns in _CLAIMS.items() for p in patterns]
_DENIAL = re.compile(
    r"\b(?:not|no|never|cannot|can't|neither|nor|whether|without|prohibited|isn't|doesn't)\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"[^.!?;\n]+[.!?;]?")


def find_claims(text: str) -> list[str]:
    """Sentences of ``text`` that claim a felt emotion, an intent, deceit or a diagnosis, with the kind.

    A sentence that denies such a claim ("no movement shows that somebody is lying")
    is none. Questions are not claims.
    """
    found = []
    for sentence in _SENTENCE.findall(text):
        if sentence.rstrip().endswith("?"):
            continue
        for kind, pattern in _PATTERNS:
            match = pattern.search(sentence)
            if match and not _DENIAL.search(sentence[: match.end()]):
                found.append(f"{kind}: {sentence.strip()}")
                break
    return found
