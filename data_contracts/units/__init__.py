"""How much one unit, or a handful of them, may weigh."""
