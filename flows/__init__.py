"""The order of things, retries, and the people who are told."""
