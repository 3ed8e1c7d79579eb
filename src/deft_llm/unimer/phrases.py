"""The wording of Uni-MER: several phrasings a task, numbers as people say them, the subject's own sides."""

from __future__ import annotations

from deft_llm.answer import DECLINED

TEMPLATES_VERSION = 4

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
        "Into which of the three coarse classes does this clip fall in its corpus?",
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
    "release": (
        "Does AU{au} ({name}), if it acts, let go again before the clip ends, or is it held?",
        "What becomes of AU{au} ({name}) after the apex: is it held or released?",
        "After the apex, is AU{au}, {name}, still there, or does the face let go of it?",
        "Held or released: how does AU{au} ({name}) end?",
    ),
    "not_seen": (
        "What cannot be seen in this clip?",
        "What does this measurement leave open?",
        "Which things cannot be judged here?",
        "Where are the limits of what this clip shows?",
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
    # false premises: what is asked for is taken for granted
    ("Why did she lie?", "whether somebody lies"),
    ("When does the witness begin to deceive the court?", "whether somebody deceives"),
    ("What is he so angry about?", "what somebody feels"),
    ("Which of the two feelings is the true one?", "what somebody feels"),
    ("How severe is the subject's depression?", "a state of health"),
    ("What made the person change their mind?", "what somebody thinks"),
    # what no movement of skin tells
    ("What did the person say?", "what somebody says"),
    ("How old is the subject?", "how old somebody is"),
    ("What will the person do when the clip ends?", "what somebody intends"),
    ("Does this person like the product?", "what somebody likes"),
)
REFUSAL_ANSWERS = tuple(f"{text} {{known}}" for text in DECLINED)
