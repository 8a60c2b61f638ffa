"""Which live answers are scored, their scores, and what they say about all traffic."""
