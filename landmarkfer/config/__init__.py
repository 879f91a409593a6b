"""The schemas of every recipe: training, search, benchmark."""
