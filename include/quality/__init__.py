"""The two gates: Great Expectations over what came in, and over what is about to be applied or issued."""
