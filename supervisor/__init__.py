"""The Python half of Sluice: policy, and the processes. Of `gateway` it imports the contract and the look-up."""
