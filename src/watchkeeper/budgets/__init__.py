"""Spending limits: what was spent, whether money goes faster than usual, and when it ends."""
