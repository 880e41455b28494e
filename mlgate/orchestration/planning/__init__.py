"""From a message and a tree to runs; `validate`'s whole floor. Pure."""
