"""Faces followed through a video with numbers that stay: through gaps, and when people cross.

A followed face keeps its number while the landmarker tracks it. A face that comes back takes the number of
the lost one that it resembles (look and place); nobody takes two numbers, and no number goes to two faces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deft_llm.faces.align import align, transform_of
from deft_llm.faces.landmarker import Face, Landmarker, box_overlap

LOOK_SIDE = 12  # px of the thumbnail that tells people apart
LOOK_RATE = 0.05  # share of a new look in a person's usual look
ALIKE = 0.35  # most distance of looks at which a lost face may be the same person
FAR = 0.15  # distance of looks that a place one face away is worth
SEARCH_FRAMES = 12  # frames between searches while faces are missing
OVERLAP = 0.5  # of boxes: two numbers on one face


@dataclass
class Followed:
    """One person: ``face`` in the last frame where it was seen, ``lost`` frames since, usual ``look``."""

    number: int
    face: Face
    look: np.ndarray
    lost: int = 0


@dataclass
class FaceFollower:
    """Follows up to ``most`` faces; call ``find`` with each frame in turn. ``in_view``: the most faces that
    were detected at once."""

    landmarker: Landmarker
    most: int = 1
    in_view: int = 0
    people: list[Followed] = field(default_factory=list)
    _wait: int = 0

    def find(self, image: np.ndarray) -> dict[int, Face]:
        """Number (from 1) -> face of the people seen in this frame, uint8 RGB (H, W, 3)."""
        for person in self.people:
            face = self.landmarker.track(image, person.face) if person.lost == 0 else None
            if face is None:
                person.lost += 1
            else:
                person.face = face
        self._part(image)
        alive = sum(person.lost == 0 for person in self.people)
        self._wait -= 1
        if alive == 0 or (alive < self.most and self._wait <= 0):
            self._search(image)
            self._wait = SEARCH_FRAMES
        return {person.number: person.face for person in self.people if person.lost == 0}

    def _part(self, image: np.ndarray) -> None:
        """Where two numbers sit on one face, the one that looks less like it is lost."""
        alive = [person for person in self.people if person.lost == 0]
        if self.most == 1:
            return
        for i, one in enumerate(alive):
            for other in alive[i + 1 :]:
                if one.lost or other.lost or box_overlap(one.face.box, other.face.box) < OVERLAP:
                    continue
                seen = look_of(image, one.face)
                worse = max((one, other), key=lambda person: _apart(person.look, seen))
                worse.lost = 1
        for person in alive:
            if person.lost == 0:
                person.look = (1 - LOOK_RATE) * person.look + LOOK_RATE * look_of(image, person.face)

    def _search(self, image: np.ndarray) -> None:
        """Detects faces and gives them numbers: those of lost people first, then new ones."""
        found = self.landmarker.detect(image, max_faces=max(4, self.most + 2))
        self.in_view = max(self.in_view, len(found))
        alive = [person for person in self.people if person.lost == 0]
        free = [face for face in found
                if all(box_overlap(face.box, person.face.box) < OVERLAP for person in alive)]  # fmt: skip
        if self.most == 1:
            self._only(image, free)
            return
        looks = [look_of(image, face) for face in free]
        pairs = sorted(
            (self._distance(person, face, look), person.number, i)
            for person in self.people if person.lost
            for i, (face, look) in enumerate(zip(free, looks, strict=True))
        )  # fmt: skip
        taken: set[int] = set()
        for distance, number, i in pairs:
            person = self.people[number - 1]
            if distance > ALIKE or person.lost == 0 or i in taken:
                continue
            person.face, person.lost = free[i], 0
            taken.add(i)
        for i, face in enumerate(free):
            if i not in taken and len(self.people) < self.most:
                self.people.append(Followed(len(self.people) + 1, face, looks[i]))

    def _only(self, image: np.ndarray, free: list[Face]) -> None:
        """With one face to follow the largest and most central one is it."""
        if not free:
            return
        if not self.people:
            self.people.append(Followed(1, free[0], look_of(image, free[0])))
        self.people[0].face, self.people[0].lost = free[0], 0

    @staticmethod
    def _distance(person: Followed, face: Face, look: np.ndarray) -> float:
        way = np.linalg.norm(face.landmarks.mean(0) - person.face.landmarks.mean(0))
        return _apart(person.look, look) + FAR * min(float(way) / max(person.face.size, 1e-6), 2.0)


def look_of(image: np.ndarray, face: Face) -> np.ndarray:
    """(LOOK_SIDE ** 2 + 3,) a face's standardised thumbnail and its mean colour, whatever its size."""
    import cv2

    x0, y0, x1, y1 = (int(round(value)) for value in face.box)
    margin = max(int(0.3 * face.size), 2)
    x0, y0 = max(x0 - margin, 0), max(y0 - margin, 0)
    part = image[y0 : y1 + margin, x0 : x1 + margin]
    picture = align(part, transform_of(face.landmarks - [x0, y0]))
    small = cv2.resize(picture, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA).astype(float)
    grey = small.mean(2)
    shape = (grey - grey.mean()) / (grey.std() + 1e-6) / LOOK_SIDE
    colour = small.mean((0, 1)) / (small.mean() + 1e-6) - 1
    return np.concatenate([shape.ravel(), colour])


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    """0 for the same look, about 0.7 for unlike ones."""
    shape = first[:-3] @ second[:-3] / (np.linalg.norm(first[:-3]) * np.linalg.norm(second[:-3]) + 1e-9)
    return float(0.7 * (1 - shape) + np.abs(first[-3:] - second[-3:]).mean())
