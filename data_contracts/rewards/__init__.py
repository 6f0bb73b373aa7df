"""How outcomes become rewards, when they are final, and whether they keep coming."""
