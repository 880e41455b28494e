"""Blob containers, for the handlers that keep something in one."""
