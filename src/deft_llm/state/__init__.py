"""Faces over time: the intensity of every Action Unit, frame and side, over the person's own neutral."""
