"""Piano music: which notes sound in the next step."""
