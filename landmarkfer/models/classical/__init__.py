"""Classical models: features, support vectors and trees, on scikit-learn."""
