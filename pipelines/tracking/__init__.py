"""Pure rules of time and pace: who owes what by when, how far a target is, whom to tell."""
