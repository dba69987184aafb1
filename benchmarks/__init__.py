"""ajobs beside its peers: the same work, in the same run, as ratios."""
