"""What can be done to a recording as codes, never as sound: no model, no torch."""
