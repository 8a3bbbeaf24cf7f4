"""State that the requests of a worker share, each by itself: meter, settings, generation, file budget, roster, log."""
