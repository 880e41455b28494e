"""What becomes of the model that a build offers. Pure: a build and a log in, a decision out."""
