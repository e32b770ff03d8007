"""What every engine process shares: the Engine protocol and its base, the runtime, the weights, and the platform."""
