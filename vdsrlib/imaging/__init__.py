"""Image files, colour, resizing, degradation and crops."""
