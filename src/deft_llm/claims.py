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

CLAIMED = "The language part's answer claimed more than a face shows, so it is left out."
_PERSON = (
    r"(?:s?he|they|(?:this|the) "
    r"(?:person|subject|patient|speaker|man|woman|child|candidate|suspect|participant))"
)
_EMOTION = (
    r"(?:happy|happiness|sad|sadness|angry|anger|afraid|fear|fearful|disgusted|disgust|surprised|surprise|"
    r"contempt|contemptuous|anxious|anxiety|nervous|stressed|depressed|joy|joyful|ashamed|guilty)"
)
_ILLNESS = r"(?:depression|autism|parkinson\S*|schizophrenia|ptsd|disorder|anxiety)"
_REFUSALS = (
    (r"\b(ly(ing|e)|lie[sdr]?|liar|decei\w*|decept\w*|honest\w*|dishonest\w*|truth\w*|trust\w*|guilt\w*|cheat\w*)\b",
     "That cannot be answered from a face: no facial movement shows whether somebody lies."),
    (r"\b(diagnos\w*|depress\w*|autis\w*|parkinson\w*|disorder|ill(ness)?|sick|disease|adhd|ptsd|schizo\w*|mental)\b",
     "That cannot be answered: this is not a medical device and gives no diagnosis."),
    (r"\b(hire|hiring|recruit\w*|employ\w*|fire[ds]?|arrest\w*|criminal|suspect\w*|police|border|exam\w*|student)\b",
     "That is not what this is for: no decision about a person may rest on it."),
    (r"\b(intend\w*|intention\w*|plan(s|n?ed|n?ing)?|personality|character|"
     r"(?:he|she|they|person|man|woman|face) think\w*|thoughts?|thinking)\b",
     "That cannot be answered from a face: it does not show what a person thinks or intends."),
    (rf"\b(feel(s|ing|ings)?|felt|emotional state|really {_EMOTION})\b"
     rf"|\b{_PERSON} (\w+ )?({_EMOTION}|hid(es?|ing))\b"
     r"|\b(genuine|fake|sincere|real|true|hidden) (smile|expression|emotion|face)\b"
     r"|\b(smile|expression|emotion) (genuine|fake|sincere|real|true|hidden)\b",
     "That cannot be answered from a face: it does not show what a person feels. What can be said is how the "
     "skin moved and which label coders would give to it."),
)  # fmt: skip
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
        rf"\b{_PERSON}\s+(?:lie[sd]|deceive[sd])\b",
        r"\b(?:signs?|evidence|indicat\w+)\s+of\s+(?:deceit|deception|lying|dishonesty)\b",
    ),
    "diagnosis": (
        rf"\b{_PERSON}\s+(?:suffers? from|has|shows signs of)\s+(?:\w+\s+){{0,2}}{_ILLNESS}\b",
        rf"\b(?:symptoms?|diagnos(?:is|ed|tic)\s+(?:of|with|for))\s+(?:\w+\s+){{0,2}}{_ILLNESS}\b",
    ),
}
_PATTERNS = [(kind, re.compile(p, re.IGNORECASE)) for kind, patterns in _CLAIMS.items() for p in patterns]
_DENIAL = re.compile(
    r"\b(?:not|no(?!\s+doubt)|never|cannot|can't|neither|nor|whether|without|prohibited|isn't|doesn't)\b",
    re.IGNORECASE,
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


def refusal_of(question: str) -> str | None:
    """Why a question has no answer in a face, where it asks for lies, illness, decisions about a person,
    intentions or feelings; None for others."""
    return next((why for words, why in _REFUSALS if re.search(words, question, re.IGNORECASE)), None)
