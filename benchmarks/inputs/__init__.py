"""What is measured on: the generated corpus, random weights of real architectures, random features."""
