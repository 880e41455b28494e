"""Stand-ins for the cloud services; each speaks the real protocol and is usable alone."""
