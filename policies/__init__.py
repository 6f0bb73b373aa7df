"""Arrays in, policies and verdicts out."""
