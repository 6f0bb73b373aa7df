"""Strict readers: every line of a log becomes a typed row or a named rejection, never a guess."""
