"""Are answers good? Scorers today; sampling, judges and estimates join them here."""
