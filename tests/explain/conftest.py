"""Small clips of a real face with known movements, made once a session."""

import numpy as np
import pytest

from deft_llm.explain.samples import Injected, landmarks_of, living_portrait, portrait, save_video

FPS = 50.0


@pytest.fixture(scope="session")
def face():
    """The portrait and its landmarks."""
    image = portrait()
    return image, landmarks_of(image)


@pytest.fixture(scope="session")
def make_frames(face):
    """Frames of the living portrait."""

    def make(movements=(), count=12, **options):
        options = {"drift": 0.3, "fps": FPS} | options
        return list(living_portrait(movements, count, image=face[0], landmarks=face[1], **options))

    return make


@pytest.fixture(scope="session")
def smile_clip(tmp_path_factory, make_frames):
    """A clip with a lip-corner pull of 1 px on the subject's right: onset 30, apex 39, offset 52."""
    path = tmp_path_factory.mktemp("clips") / "smile.mp4"
    return save_video(path, make_frames([Injected(12, "right", 30, 39, 52, 1.0)], 80, seed=5, drift=0.8), FPS)


@pytest.fixture(scope="session")
def still_frames(make_frames):
    """A dozen frames in which nothing moves."""
    return make_frames()


@pytest.fixture(scope="session")
def no_face():
    """A picture without a face."""
    return np.full((160, 160, 3), 127, np.uint8)
