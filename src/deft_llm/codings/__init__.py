"""Codings of videos: events with AU, side, phase and times, in the formats that coders work in."""
