"""How a head is trained: examples, objective, epochs, folds, and the checkpoint it leaves."""
