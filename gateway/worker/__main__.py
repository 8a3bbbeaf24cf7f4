"""`python -m gateway.worker`: the worker process."""

from gateway.worker.worker import main

if __name__ == "__main__":
    main()
