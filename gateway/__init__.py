"""The data plane, run by worker processes. Cython decides what bytes mean and their owner; C (csrc/) moves them."""
