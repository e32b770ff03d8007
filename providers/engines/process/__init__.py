"""What every engine process shares: the Engine protocol, the runtime, and the platform."""
