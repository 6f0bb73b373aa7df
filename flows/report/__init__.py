"""The Reward Report: facts in, one self-contained page out."""
