"""Where propensities come from, and whether they are true."""
