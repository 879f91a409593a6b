"""Where two systems differ: statistics, report, pictures."""
