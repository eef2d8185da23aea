"""Diffusion: from the Markov chain to a Stable Diffusion of our own.

Modules of the mathematics (``schedule``, ``losses``, ``mixture``), and parts of a real
``diffusers.StableDiffusionPipeline`` that is small enough to be trained on two CPU cores (``autoencoder``, ``latent``,
``pipeline``).
"""
