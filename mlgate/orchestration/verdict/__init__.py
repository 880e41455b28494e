"""The verdict, and everything that is written about a build. Pure."""
