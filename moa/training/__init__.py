"""Training: the loop, what it saves, what it reports; the objectives live in `moa.training.objectives`."""
