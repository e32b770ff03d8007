"""The engine of image models: those of mflux, one denoising step at a time."""
