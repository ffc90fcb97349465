"""A web page to draw subjects in scenes: `python -m moa.demo`."""
