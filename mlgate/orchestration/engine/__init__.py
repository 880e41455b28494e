"""The state machine of a build: steps, pace and trouble are pure, the rest has their effects."""
