"""Measuring adapters, the prior and the autoencoder on held-out identities of the embedded world."""
