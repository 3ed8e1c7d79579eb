"""Training of the experts and the adapter."""
