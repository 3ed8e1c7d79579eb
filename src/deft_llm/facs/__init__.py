"""FACS: Action Units, face regions, directions, notation and the emotion rules."""
