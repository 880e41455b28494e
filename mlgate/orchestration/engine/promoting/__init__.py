"""From a passed gate to the current version: the phase `promoting` of a build."""
