"""Who asks, whether they may, and the new build."""
