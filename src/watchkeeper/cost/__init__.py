"""What a call costs: a known price or none, never a guess."""
