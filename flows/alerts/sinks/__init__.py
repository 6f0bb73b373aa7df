"""Where an alert goes. A sink delivers one payload or says why not; it never stores or shows its address."""
