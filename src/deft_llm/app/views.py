"""Pieces of the page as HTML: one movement's pictures, its answer and evidence, attributions, comparison."""

from __future__ import annotations

import base64
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from deft_llm.answer import AnswerError, parse
from deft_llm.explain.magnify import magnify_sequence, write_loop
from deft_llm.explain.overlays import arrow_words, as_data, face_picture, flow_overlay, strain_overlay
from deft_llm.explain.region_overlay import region_overlay
from deft_llm.explain.timeline import kind_class
from deft_llm.explain.words import (
    agreement_of,
    certainty_of,
    duration_of,
    marked_words,
    measured_words,
    regions_of,
    unit_words,
    when_of,
)
from deft_llm.facs.units import name
from deft_llm.facs.words import percent
from deft_llm.records import BY_SHAPE

if TYPE_CHECKING:
    from deft_llm.app.worker import Result
    from deft_llm.explain.result import MovementReading
    from deft_llm.explain.unjudged import Unjudged
    from deft_llm.store import Motion

NOTHING = '<p class="deft-empty">No movement was found, so there is nothing here.</p>'
LABEL_NOTE = "The label that coders of micro-expression corpora would give to such a movement."


def bars(probabilities: dict[str, float], title: str) -> str:
    """Probabilities as labelled bars, largest first."""
    rows = "".join(
        f'<li><span>{escape(label)}</span><span class="bar" aria-hidden="true">'
        f'<i style="width:{100 * p:.0f}%"></i></span><b>{percent(p)}</b></li>'
        for label, p in sorted(probabilities.items(), key=lambda pair: -pair[1])
    )
    return f'<ul class="bars" aria-label="{escape(title)}">{rows}</ul>'


def pictures_html(result: Result, rank: int) -> str:
    """Flicker between onset and apex, slow motion, flow arrows, strain, one region picture per AU."""
    reading = result.analysis.readings[rank]
    motion = reading.motion
    if motion is None or motion.faces is None:
        return '<p class="deft-empty">This movement was not measured, so there is no picture of it.</p>'
    onset, apex = as_data(face_picture(motion, 0)), as_data(face_picture(motion, 1))
    movement = reading.movement
    tiles = [
        f'<figure class="flicker"><div class="frame"><img src="{onset}" alt="Face at onset">'
        f'<img class="over" src="{apex}" alt="Face at apex"></div><figcaption><b>Onset / apex</b> '
        f"frames {movement.onset} and {movement.apex} in turn "
        '<button type="button" class="mini" data-hold aria-pressed="false">hold still</button></figcaption>'
        "</figure>"
    ]
    if slow := result.slow.get(rank):
        data = base64.b64encode(slow).decode()
        tiles.append(
            '<figure><div class="frame"><video autoplay loop muted playsinline controls '
            f'aria-label="Slow motion of the movement" src="data:video/mp4;base64,{data}"></video></div>'
            "<figcaption><b>Slow motion</b> onset to offset, 8 times slower than life</figcaption></figure>"
        )
    tiles.append(_figure(flow_overlay(motion), "Flow", arrow_words(motion)))
    tiles.append(_figure(strain_overlay(motion), "Strain", "where the skin stretches or folds"))
    tiles += region_figures(reading)
    return f'<div class="tiles">{"".join(tiles)}</div>'


def region_figures(reading: MovementReading, most: int = 4) -> list[str]:
    """One figure per evidence row of the skin's motion: where the AU was read and which way it moved."""
    figures: list[str] = []
    if reading.motion is None:
        return figures
    for row in [row for row in reading.evidence if row.reason != BY_SHAPE][:most]:
        side = f"{row.side}, " if row.side in ("left", "right") else ""
        text = f"{side}{row.region}, {row.direction}"
        figures.append(_figure(region_overlay(reading.motion, row), f"AU{row.au}", text))
    return figures


def _figure(picture: Any, title: str, text: str) -> str:
    return (
        f'<figure><div class="frame"><img src="{as_data(picture)}" alt="{escape(f"{title}: {text}")}"></div>'
        f"<figcaption><b>{escape(title)}</b> {escape(text)}</figcaption></figure>"
    )


def magnified_html(motion: Motion | None, factor: float) -> str:
    """A loop from rest to the apex with motion ``factor`` times as large."""
    if motion is None or motion.faces is None:
        return '<p class="deft-empty">This movement was not measured, so it cannot be magnified.</p>'
    weight = None if motion.mask is None else motion.mask.astype("float32")
    frames = magnify_sequence(motion.faces[0], motion.flow[0], factor, weight, steps=10)
    target = BytesIO()
    write_loop(frames, target, fps=16, repeats=2)
    data = base64.b64encode(target.getvalue()).decode()
    return (
        '<figure class="magnified"><div class="frame"><video autoplay loop muted playsinline controls '
        f'aria-label="Movement magnified {factor:g} times" src="data:video/mp4;base64,{data}"></video></div>'
        f"<figcaption><b>{factor:g}&times;</b> the measured motion, rendered from the onset frame; "
        "nothing moves that was not measured</figcaption></figure>"
    )


def reading_html(result: Result, rank: int) -> str:
    """What was measured for one movement, the answer and its probabilities, or why it cannot be judged."""
    analysis, reading = result.analysis, result.analysis.readings[rank]
    movement = reading.movement
    fps = analysis.video["fps"]
    head = (
        '<h3 tabindex="-1" class="movement-title">'
        f'<span class="rank {kind_class(movement.kind)}">{rank + 1}</span>'
        f'{escape(movement.called.capitalize())}</h3><p class="soft">{escape(when_of(movement))} '
        f"({escape(duration_of(movement, fps))})</p>"
    )
    if not movement.judged:
        return f'{head}<p class="notice"><b>Cannot be judged.</b> {escape(movement.reason)}</p>'
    head += "".join(_unjudged(one) for one in reading.told)
    seen = reading.prediction
    if seen is None:
        said = reading.warning or reading.answer or "Nothing is stated of it."
        if where := regions_of(movement):
            said += f" Seen in the video: {where}."
        shown = evidence_table(reading) if movement.units else ""
        return f'{head}<p class="notice">{escape(said)}</p>{shown}'
    try:
        answer = parse(seen.answer or "")
        label = answer.fine or answer.coarse or "undetermined"
        finer = (
            "no finer class"
            if not answer.fine
            else f"({answer.coarse})"
            if answer.coarse and answer.coarse != answer.fine
            else ""
        )
        said = (
            f'<p class="class">{escape(label.capitalize())} <span class="soft">{escape(finer)}</span></p>'
            f"<blockquote>{escape(answer.rationale)}</blockquote>"
        )
    except AnswerError:
        said = f"<blockquote>{escape(seen.answer or '')}</blockquote>"
    said += "".join(f'<p class="notice">{escape(marked_words(mark))}</p>' for mark in reading.marks)
    sure = f"{certainty_of(seen.probabilities)} {agreement_of(reading)}".strip()
    notes = [text for text in (movement.reason, reading.warning) if text]
    return (
        f"{head}{said}{bars(seen.probabilities, 'Class probabilities')}"
        f'<p>{escape(sure)}</p><p class="soft">{LABEL_NOTE}</p><h4>Measured</h4>{evidence_table(reading)}'
        + "".join(f'<p class="notice">{escape(note)}</p>' for note in notes)
    )


def _unjudged(one: Unjudged) -> str:
    return f'<p class="notice"><b>{escape(one.head)}</b> {escape(one.why)}</p>'


def evidence_table(reading: MovementReading) -> str:
    """The movement's units in words, and the evidence that the skin's motion gives of them with figures."""
    if not reading.evidence and not reading.movement.units:
        return "<p>The movement was seen, but it fits no Action Unit above the noise.</p>"
    shape = [measured_words(row) for row in reading.evidence if row.reason == BY_SHAPE]
    told = [*(unit_words(unit) for unit in reading.movement.units), *shape]
    said = f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in told)}</ul>" if told else ""
    moved = [row for row in reading.evidence if row.reason != BY_SHAPE]
    if not moved:
        return said
    heads = ("Action Unit", "Side", "Region", "Direction", "px", "% IOD", "z", "Support")
    rows = []
    for row in moved:
        figures = [
            "-" if value is None else f"{value:.{digits}f}"
            for value, digits in ((row.px, 2), (row.iod_percent, 1), (row.z, 0), (row.support, 2))
        ]
        cells = [row.part or row.side, row.region, row.direction, *figures]
        rows.append(
            f'<tr><th scope="row">AU{row.au} <span>{escape(name(row.au) if row.au else "")}</span></th>'
            + "".join(f'<td data-l="{head}">{escape(str(cell))}</td>' for head, cell in zip(heads[1:], cells))
            + "</tr>"
        )
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'{said}<table class="evidence">'
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        '<p class="soft">px: mean over the region in the video\'s own pixels. IOD: distance between the '
        "eyes. z: motion over this clip's noise. Support: how well the motion fits the Action Unit, 0 to 1. "
        "Sides are the person's own.</p>"
    )


def attribution_html(result: Result, rank: int) -> str:
    """Where on the face the class and the AUs come from, and what removal costs."""
    from deft_llm.explain.attribution import (
        PARTS,
        attribution_overlay,
        note_of,
        points_words,
        title_of,
        words_of,
    )

    reading = result.analysis.readings[rank]
    found, motion = reading.attribution, reading.motion
    if found is None or motion is None:
        return (
            '<p class="deft-empty">Attributions are measured for movements that deft has read; '
            "rules states its chain in the answer.</p>"
        )
    tiles = [
        _figure(attribution_overlay(motion, source), title_of(source, reading.movement), words_of(source))
        for source in found.sources
    ]
    rows = "".join(
        f'<tr><th scope="row">{escape(PARTS.get(part, part))}</th>'
        f'<td data-l="Probability without it">{percent(p)}</td>'
        f'<td class="figure" data-l="Change">{points_words(p - found.probability)}</td></tr>'
        for part, p in found.without.items()
    )
    return (
        f'<div class="tiles">{"".join(tiles)}</div><p class="soft">{escape(note_of(found))}</p>'
        f'<table class="evidence"><caption>{escape(found.label.capitalize())} is at '
        f"{percent(found.probability)}. With a part of the model's input taken away:</caption><thead><tr>"
        '<th scope="col">Taken away</th><th scope="col">Probability</th><th scope="col">Change</th></tr>'
        "</thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def compare_html(found: dict[str, Any]) -> str:
    """Methods side by side: class bars and AUs at or above 0.5."""
    cards = []
    for method, seen in found.items():
        aus = sorted(((int(au), p) for au, p in seen.aus.items() if p >= 0.5), key=lambda pair: -pair[1])
        listed = ", ".join(f"AU{au} {percent(p)}" for au, p in aus[:6]) or "none above 50 %"
        cards.append(
            f'<div class="method"><h4>{escape(method)}</h4>{bars(seen.probabilities, method)}'
            f"<p><b>Action Units</b> {escape(listed)}</p></div>"
        )
    labels = {seen.label or seen.coarse for seen in found.values()}
    verdict = (
        "<p>The methods agree on the class.</p>"
        if len(labels) == 1
        else '<p class="notice">The methods differ on the class.</p>'
    )
    return f'{verdict}<div class="methods">{"".join(cards)}</div>'


def notes_html(result: Result) -> str:
    """What limits this result; what may never be concluded stands at the head of the page."""
    unjudged = [f"{one.head} {one.why}" for one in result.analysis.unjudged]
    own = "".join(f"<li>{escape(note)}</li>" for note in [*unjudged, *result.analysis.notes])
    return f"<h4>About this video</h4><ul>{own}</ul>" if own else ""
