"""What may be reached: allow-lists and repository URLs."""
