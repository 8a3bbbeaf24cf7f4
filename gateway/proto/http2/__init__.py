"""HTTP/2 as bytes in and bytes out: frames, HPACK, streams, windows, budgets; the server's and the client's side."""
