"""The wording of Uni-MER: several phrasings a task, numbers as people say them, the subject's own sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TEMPLATES_VERSION = 1

SYSTEM = (
    "You describe how facial skin moved between the frames of a short clip and which label the coders of its "
    "corpus gave. Left and right are the subject's own. You never say what a person feels, thinks or intends."
)

# No question tells the answer: nothing hints at how many units there are, on which side, or at a label.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "coarse": (
        "Which coarse class did the coders of this corpus give to the clip?",
        "Which of the three coarse classes was given to this clip?",
        "Give the coarse expression class of the clip.",
        "Into which of the three coarse classes does the corpus put this clip?",
        "How would coders of this corpus class the clip, coarsely?",
    ),
    "fine": (
        "Which fine-grained label did the coders of this corpus give to the clip?",
        "Name the fine-grained expression label of the clip.",
        "How is this clip labelled in its corpus, in the fine-grained classes?",
        "What is the fine class that this corpus assigns to the clip?",
        "Under which fine-grained label does the corpus list this clip?",
    ),
    "aus": (
        "Which Action Units does the motion show?",
        "List every Action Unit that can be seen to move from onset to apex.",
        "Name all Action Units that the flow supports, if there are any.",
        "What does FACS call the movement in this clip?",
        "Give the Action Units of this clip, each with its side.",
    ),
    "au": (
        "Is AU{au} ({name}) seen in this clip?",
        "Does the motion support AU{au}, {name}?",
        "Can AU{au} ({name}) be read from the movement between onset and apex?",
        "Check for AU{au} ({name}): is it there?",
        "Decide whether AU{au}, the {name}, acts in this clip.",
    ),
    "side": (
        "On which side of the face does AU{au} ({name}) act, if it acts at all?",
        "Left, right, both sides or neither: where is AU{au} ({name}) seen?",
        "Say on which of the subject's sides AU{au}, {name}, can be seen, if anywhere.",
        "Is there any AU{au} ({name}), and where?",
    ),
    "region": (
        "What moves in the {region}?",
        "How does the {region} move from onset to apex?",
        "Describe the motion of the {region}, if there is any.",
        "Does the {region} move, and which way?",
        "What does the flow show at the {region}?",
    ),
    "phase": (
        "In which phase does the {region} move more: onset to apex, or apex to offset?",
        "Which phase holds the larger motion of the {region}?",
        "When does the {region} move most, before or after the apex?",
        "Compare the two phases at the {region}: which one moves it further?",
    ),
    "description": (
        "Describe the facial movement in this clip.",
        "What happens in the face between onset and apex?",
        "Put the motion of this clip into words, with regions and directions.",
        "Tell a FACS student what moves here, and how far.",
        "Give a short account of the movement that the flow shows.",
    ),
    "answer": (
        "Analyse the clip: class, evidence, rationale.",
        "Give the class of this clip, the evidence for it and a rationale.",
        "Which label do coders give here, and what is the evidence?",
        "Answer with class, evidence and rationale.",
        "Report on this clip in the three-line form: class, evidence, rationale.",
    ),
    "contrast": (
        "AU{first} ({first_name}) or AU{second} ({second_name}): which is seen here, and how do they differ?",
        "Tell AU{first} ({first_name}) from AU{second} ({second_name}) in this clip.",
        "Which fits the motion better, AU{first} ({first_name}) or AU{second} ({second_name}), and why?",
        "Compare AU{first} ({first_name}) and AU{second} ({second_name}) against the motion of this clip.",
    ),
    "blink": (
        "Could this clip be a mere blink?",
        "How does the motion here differ from a blink?",
        "Is there more than a blink in this clip?",
        "Tell this movement from a blink, if it is none.",
    ),
    "why": (
        "What in the motion goes with that?",
        "Which movement supports it?",
        "On what evidence?",
        "What did the skin do?",
    ),
    "follow_up": (
        "And the rationale?",
        "Put it together: class, evidence, rationale.",
        "Now give the full answer.",
        "Sum it up in the three-line form.",
    ),
}

REFUSALS: tuple[tuple[str, str], ...] = (
    ("Is this person lying?", "whether somebody lies"),
    ("Can you see deception in this face?", "whether somebody deceives"),
    ("What does this person really feel?", "what somebody feels"),
    ("Is the subject hiding an emotion?", "what somebody keeps to themselves"),
    ("Does this person suffer from depression?", "a state of health"),
    ("Is this a symptom of a disorder?", "a state of health"),
    ("What is the subject thinking?", "what somebody thinks"),
    ("What does the person intend to do next?", "what somebody intends"),
    ("Should we hire this applicant?", "whether somebody suits a job"),
    ("Is this traveller a risk at the border?", "whether somebody is a risk"),
    ("Is the pupil paying attention?", "what somebody attends to"),
    ("Who is this person?", "who somebody is"),
    ("How honest is this witness?", "how honest somebody is"),
    ("Is the patient in pain?", "whether somebody is in pain"),
)
REFUSAL_ANSWERS: tuple[str, ...] = (
    "No facial movement shows {topic}, so this cannot be answered. {known}",
    "That cannot be told from a face: motion does not show {topic}. {known}",
    "I cannot say. How skin moves does not show {topic}. {known}",
    "This question has no answer in the clip, for movement does not tell {topic}. {known}",
)

MOVES: dict[str, str] = {
    "up": "up",
    "down": "down",
    "medial": "inward",
    "lateral": "outward",
    "up-medial": "up and inward",
    "up-lateral": "up and outward",
    "down-medial": "down and inward",
    "down-lateral": "down and outward",
}
MIDLINE_MOVES = {"lateral": "sideways", "up-lateral": "up and sideways", "down-lateral": "down and sideways"}
PLURALS = {
    "inner brow": "inner brows",
    "outer brow": "outer brows",
    "upper lid": "upper lids",
    "lower lid": "lower lids",
    "outer eye corner": "outer eye corners",
    "cheek": "cheeks",
    "nostril wing": "nostril wings",
    "nasolabial fold": "nasolabial folds",
    "mouth corner": "mouth corners",
}
ONE_OF_TWO = ("upper lip", "lower lip")
PARTNERS = {
    "upper lid": "lids",
    "lower lid": "lids",
    "upper lip": "lips",
    "lower lip": "lips",
    "mouth corner": "mouth corners",
    "nostril wing": "nostril wings",
}


def pick(options: Sequence[str], rng: np.random.Generator) -> tuple[int, str]:
    """One of ``options`` and its number."""
    number = int(rng.integers(len(options)))
    return number, options[number]


def say_px(px: float) -> str:
    """A length as a person says it: "less than a tenth of a pixel", "about half a pixel", "about 1.2 px"."""
    if px < 0.1:
        return "less than a tenth of a pixel"
    if 0.45 <= px < 0.55:
        return "about half a pixel"
    if 0.95 <= px < 1.05:
        return "about one pixel"
    return f"about {px:.1f} px" if px < 10 else f"about {px:.0f} px"


def say_percent(percent: float) -> str:
    """A share of the inter-ocular distance as a person says it."""
    shown = f"{percent:.1f}" if percent < 3 else f"{percent:.0f}"
    return f"{shown.removesuffix('.0')} % of the distance between the eyes"


def say_size(px: float | None, iod_percent: float | None) -> str:
    """Both figures, or nothing where a map has no scale."""
    if px is None or iod_percent is None:
        return ""
    return f"by {say_px(px)} ({say_percent(iod_percent)})"


def noun(region: str, side: str) -> tuple[str, bool]:
    """A region with its side as a noun phrase, and whether it is plural: "both inner brows", "the chin"."""
    if side in ("left", "right"):
        if region in ONE_OF_TWO:
            return f"the {side} half of the {region}", False
        return f"the {side} {region}", False
    if region in PLURALS:
        return f"both {PLURALS[region]}", True
    return f"the {region}", False


def noun_of_both(region: str) -> tuple[str, bool]:
    """A region on both sides, as "the inner brows" or "the chin"."""
    words, plural = noun(region, "both")
    return words.replace("both ", "the "), plural


def movement(region: str, side: str, direction: str, px: float | None, iod_percent: float | None) -> str:
    """A sentence without its full stop: "both inner brows move up by about 0.8 px (0.9 % of ...)"."""
    size = say_size(px, iod_percent)
    if direction in ("converging", "diverging"):
        subject = PARTNERS.get(region, noun(region, "both")[0].removeprefix("both ").removeprefix("the "))
        verb = "draw together" if direction == "converging" else "move apart"
        where = f"on the {side} the {subject}" if side in ("left", "right") else f"the {subject}"
        return " ".join(filter(None, (where, verb, size and f"{size} at the {region}")))
    subject, plural = noun(region, side)
    midline = region not in PLURALS and region not in ONE_OF_TWO
    way = MIDLINE_MOVES.get(direction, MOVES[direction]) if midline else MOVES[direction]
    return " ".join(filter(None, (subject, "move" if plural else "moves", way, size)))


def sentence(text: str) -> str:
    """Capital at the start, full stop at the end."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]
