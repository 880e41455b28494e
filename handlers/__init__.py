"""One handler for each outside system, behind a port; handlers do not know of each other."""
