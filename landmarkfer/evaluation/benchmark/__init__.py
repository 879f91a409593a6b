"""Whole systems compared from one recipe: train, measure, test, report."""
