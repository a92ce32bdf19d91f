"""Statistical reasons of the streamer view."""

STREAMER: dict[str, tuple[str, str]] = {}
