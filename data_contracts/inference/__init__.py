"""A first contract from a sample of a log: what the columns hold, which role each plays, and the file that says so."""
