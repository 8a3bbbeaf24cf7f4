"""One .pxd for each header of csrc/."""
