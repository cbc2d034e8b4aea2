"""What the benchmark trains, the ways to train it, and the table and figure of the result."""
