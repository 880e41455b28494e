"""Who sends a message, whether they may, and the new build."""
