"""What a logged interaction means, and which rows may train a policy."""
