"""What a governed call costs, measured beside what others do with the same call."""
