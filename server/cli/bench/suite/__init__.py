"""The measurements of `bench suite`: the engine with and without HTTP, starts, added latency, and other servers."""
