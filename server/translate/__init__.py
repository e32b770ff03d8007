"""Between the wire and the domain: what a request asks, and how an answer is written. No transport here."""
