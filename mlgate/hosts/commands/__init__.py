"""The commands of `mlgate`: the arguments, help and exit codes of each, and what it starts."""
