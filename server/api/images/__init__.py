"""`/v1/images`: generation and editing of images."""
