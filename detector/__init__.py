"""tip-detector: scores live-stream tips in real time and says why."""

__version__ = "0.1.0"
