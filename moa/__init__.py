"""moa: experts around a frozen text-to-image diffusion prior."""
