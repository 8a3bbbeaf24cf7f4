"""The data plane, run by worker processes. Cython decides what bytes mean and who owns what; C (csrc/) moves them."""
