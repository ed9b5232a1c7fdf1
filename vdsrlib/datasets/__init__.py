"""The image sets: where they are, what they hold, and how to get and verify them."""
