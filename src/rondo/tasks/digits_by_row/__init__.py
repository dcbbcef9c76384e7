"""Handwritten digits, a row of pixels in a step."""
