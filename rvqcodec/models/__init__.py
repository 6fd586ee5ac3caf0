"""The only door to networks: families behind one interface, numpy in and out; the door itself imports no torch."""
