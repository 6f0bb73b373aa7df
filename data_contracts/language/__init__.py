"""What a contract's file may say, how it may change, and how rows of its older versions read."""
