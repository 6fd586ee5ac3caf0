"""The built-in architecture, all of it and every number of it: a transform codec that training improved (torch)."""
