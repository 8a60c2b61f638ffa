"""Words every room shares: errors, time, money, ids, findings. Imports the standard library only."""
