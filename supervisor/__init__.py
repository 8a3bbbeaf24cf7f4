"""The Python half of Sluice: what is allowed, and who runs. Of `gateway` it imports the contract and the look-up."""
