"""The reviewers' console: a process of its own on the topics, with a database it can rebuild."""
