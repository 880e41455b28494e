"""The report page, made of leaves."""
