"""One module a revision, up and down. Never edit one that was released; add one."""
