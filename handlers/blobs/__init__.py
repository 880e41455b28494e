"""Blob containers, for the handlers that keep data in one."""
