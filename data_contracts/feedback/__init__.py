"""Whether the deployed policies still explore, now that they write their own next training set."""
