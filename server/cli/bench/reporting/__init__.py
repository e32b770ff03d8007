"""What `bench` prints and writes: tables, reports, plots, and progress."""
