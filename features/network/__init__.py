"""The network: how long a server is waited for, what a failure is called, and how a file is fetched whole."""
