"""Who calls: the command line, the worker and what they assemble."""
