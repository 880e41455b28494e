"""The decision about the model that a build offers. Pure: a build and a log in, a decision out."""
