"""One build under every fault of everything that it touches, on simulated time."""
