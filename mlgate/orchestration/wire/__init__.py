"""The message that people send: read, checked, and its findings."""
