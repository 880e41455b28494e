"""Emulators of the cloud services; each speaks the real protocol and can be used alone."""
