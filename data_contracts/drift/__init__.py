"""Does the newest batch still look like the rows the champion was trained on? A detector with a stated budget."""
