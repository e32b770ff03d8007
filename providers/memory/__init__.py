"""Memory of a model: how much it will take, how much it takes, and in which precision its weights are loaded."""
