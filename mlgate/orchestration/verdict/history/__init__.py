"""The page of many builds, made of leaves."""
