"""What changes rows that were accepted or refused before: readmission, supersession, erasure."""
