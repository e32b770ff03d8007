"""One model over several processes: what its ranks agree on, how they find each other, and how they are started."""
