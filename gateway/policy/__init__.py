"""Policy images: mapping one, and asking it."""
