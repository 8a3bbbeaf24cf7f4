"""The data plane: what a worker process runs. Cython decides what bytes mean and who owns what; C (csrc/) moves them."""
