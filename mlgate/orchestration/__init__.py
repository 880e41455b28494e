"""What is decided. Standard library and pydantic only; nothing here does I/O."""
